// The ops on averages of which only some rows are touched, on the CPU. See cc/core/lazy_rows.h for
// the rule.
//
// Each takes all locks, checks every variable and index, makes room where a reader still holds a
// buffer that is to be written, and only then writes. If it returns an error, no variable has
// changed. An average's readers copy from its first such op on, as readers of variables that
// TensorFlow scatters to do: else one reader would make a writer of a few rows copy all.

#include "cc/core/lazy_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/core/cpu_kernels.h"
#include "cc/core/lazy_rows_pass.h"
#include "cc/kernels/buffer_copies.h"
#include "cc/kernels/devices.h"
#include "cc/kernels/variable_lists.h"
#include "cc/ops/dtypes.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

// The sides of the lists.
constexpr int kAverage = 0;
constexpr int kSeen = 1;
constexpr int kClock = 2;
constexpr int kVariable = 3;
constexpr int kSides = 4;

// Calls pass(begin, end) on TensorFlow's threads for parts of [0, rows).
template <typename Pass>
void RunRowsOnThreads(OpKernelContext* ctx, int64_t rows, const Pass& pass) {
  // In cycles, as RunOnThreads of cpu_threads.h; most of a row's bytes are the first of their page.
  constexpr int64_t kBytesACycle = 2;
  constexpr int64_t kCyclesARow = 50;
  const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
  tensorflow::Shard(threads.num_threads, threads.workers, rows,
                    kCyclesARow + pass.bytes_a_row() / kBytesACycle, pass);
}

// Tables while their locks are held: the averages, counters and clocks exclusive.
class LockedTables {
 public:
  LockedTables(OpKernelContext* ctx, const VariableLists& lists, Dtypes dtypes)
      : ctx_(ctx),
        lists_(lists),
        dtypes_(dtypes),
        locked_(ctx, lists, {Access::kWrite, Access::kWrite, Access::kWrite, Access::kRead}),
        copies_(ctx),
        tables_(lists.size()),
        clocks_(lists.size()) {}

  int size() const { return lists_.size(); }
  const RowTable& table(int position) const { return tables_[position]; }
  double* clock(int position) const { return clocks_[position]; }
  int64_t clock_elements(int position) {
    return locked_.variable(kClock, position).tensor().NumElements();
  }

  // Checks every table, then calls prepare(position) -> absl::Status for it, which may call the
  // MakeWritable functions. Then puts what these have made in place.
  template <typename Prepare>
  absl::Status PrepareTables(const Prepare& prepare) {
    TF_RETURN_IF_ERROR(locked_.ForEachChecked([&](int position) {
      TF_RETURN_IF_ERROR(CheckShapes(position));
      const Tensor& variable = tensor(kVariable, position);
      const int64_t rows = variable.dim_size(0);
      clocks_[position] = static_cast<double*>(tensor(kClock, position).data());
      tables_[position] = {tensor(kAverage, position).data(),
                           variable.data(),
                           static_cast<int64_t*>(tensor(kSeen, position).data()),
                           clocks_[position],
                           rows,
                           rows == 0 ? 0 : variable.NumElements() / rows};
      return prepare(position);
    }));
    copies_.PutInPlace();
    for (const int position : rows_written_) {
      for (const int side : {kAverage, kSeen}) locked_.variable(side, position).LetReadersCopy();
    }
    return absl::OkStatus();
  }

  absl::Status MakeRowsWritable(int position) {
    const void* data;
    TF_RETURN_IF_ERROR(copies_.MakeWritable(locked_.variable(kAverage, position), &data));
    tables_[position].average = const_cast<void*>(data);
    TF_RETURN_IF_ERROR(copies_.MakeWritable(locked_.variable(kSeen, position), &data));
    tables_[position].seen = static_cast<int64_t*>(const_cast<void*>(data));
    rows_written_.push_back(position);
    return absl::OkStatus();
  }

  absl::Status MakeClockWritable(int position) {
    const void* data;
    TF_RETURN_IF_ERROR(copies_.MakeWritable(locked_.variable(kClock, position), &data));
    clocks_[position] = static_cast<double*>(const_cast<void*>(data));
    tables_[position].clock = clocks_[position];
    return absl::OkStatus();
  }

  // The buffers of all three must be writable.
  void CatchUpAll(int position) {
    RunRowsOnThreads(ctx_, tables_[position].rows,
                     CatchUpAllRowsPass(KernelsOf(ActiveCpuLevel()), dtypes_, tables_[position]));
    RestartClock(clocks_[position]);
  }

 private:
  const Tensor& tensor(int side, int position) { return locked_.variable(side, position).tensor(); }

  absl::Status CheckShapes(int position) {
    const auto& variable = tensor(kVariable, position).shape();
    const auto& seen = tensor(kSeen, position).shape();
    const auto& clock = tensor(kClock, position).shape();
    const auto refused = [&](int side, const std::string& must, const auto& received) {
      return absl::InvalidArgumentError(
          absl::StrCat(ctx_->op_kernel().type_string_view(), ": ", lists_.Describe(side, position),
                       " must ", must, ". Received: shape ", received.DebugString(), "."));
    };
    if (variable.dims() == 0) return refused(kVariable, "have rows", variable);
    if (seen.dims() != 1 || seen.dim_size(0) != variable.dim_size(0)) {
      return refused(kSeen,
                     absl::StrCat("have a number for each of the ", variable.dim_size(0), " rows"),
                     seen);
    }
    if (clock.dims() != 1 || clock.dim_size(0) < ClockElements(1)) {
      return refused(kClock, absl::StrCat("have room for a step, ", ClockElements(1), " elements"),
                     clock);
    }
    return absl::OkStatus();
  }

  OpKernelContext* const ctx_;
  const VariableLists& lists_;
  const Dtypes dtypes_;
  LockedLists locked_;
  BufferCopies<CpuDevice> copies_;
  std::vector<RowTable> tables_;
  std::vector<double*> clocks_;
  std::vector<int> rows_written_;
};

// What the ops have in common: the tables that are their first inputs.
class LazyRowsOp : public OpKernel {
 public:
  explicit LazyRowsOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    tensorflow::DataType average, variable;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("Tavg", &average));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &variable));
    OP_REQUIRES_OK(ctx, FindDtypes(ctx->def().op(), average, variable, &dtypes_));
    sides_ = {{"average", average},
              {"row counter", tensorflow::DT_INT64, -1, /*any_shape=*/true},
              {"clock", tensorflow::DT_DOUBLE, -1, /*any_shape=*/true},
              {"variable", variable}};
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromInputs(ctx, sides_, size_, &lists));
    OP_REQUIRES_OK(ctx, Run(ctx, lists));
  }

 protected:
  virtual absl::Status Run(OpKernelContext* ctx, const VariableLists& lists) = 0;

  int size() const { return size_; }
  Dtypes dtypes() const { return dtypes_; }

 private:
  std::vector<Side> sides_;
  int size_;
  Dtypes dtypes_;
};

template <typename Index>
class CatchUpRowsOp : public LazyRowsOp {
 public:
  using LazyRowsOp::LazyRowsOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const VariableLists& lists) override {
    const auto indices = [&](int position) -> const Tensor& {
      return ctx->input(kSides * size() + position);
    };
    LockedTables tables(ctx, lists, dtypes());
    TF_RETURN_IF_ERROR(tables.PrepareTables([&](int position) {
      const Tensor& wanted = indices(position);
      const auto* const rows = wanted.template flat<Index>().data();
      const int64_t there = tables.table(position).rows;
      const int64_t wrong = FirstWrongIndex(rows, wanted.NumElements(), there);
      if (wrong == wanted.NumElements()) return tables.MakeRowsWritable(position);
      return absl::Status(absl::InvalidArgumentError(
          absl::StrCat(type_string_view(), ": indices must be those of the ", there, " rows of ",
                       lists.Describe(kVariable, position), ". Received: ", rows[wrong], ".")));
    }));
    for (int i = 0; i < size(); ++i) {
      RunRowsOnThreads(
          ctx, indices(i).NumElements(),
          CatchUpRowsPass<Index>(KernelsOf(ActiveCpuLevel()), dtypes(), tables.table(i),
                                 indices(i).template flat<Index>().data()));
    }
    return absl::OkStatus();
  }
};

class CatchUpAllRowsOp : public LazyRowsOp {
 public:
  using LazyRowsOp::LazyRowsOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const VariableLists& lists) override {
    std::vector<int> behind;
    LockedTables tables(ctx, lists, dtypes());
    TF_RETURN_IF_ERROR(tables.PrepareTables([&](int position) -> absl::Status {
      if (tables.clock(position)[kClockSteps] == 0) return absl::OkStatus();
      behind.push_back(position);
      TF_RETURN_IF_ERROR(tables.MakeRowsWritable(position));
      return tables.MakeClockWritable(position);
    }));
    for (const int position : behind) tables.CatchUpAll(position);
    return absl::OkStatus();
  }
};

class AdvanceRowClocksOp : public LazyRowsOp {
 public:
  using LazyRowsOp::LazyRowsOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const VariableLists& lists) override {
    const Tensor& input = ctx->input(kSides * size());
    if (input.dims() != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(type_string_view(), ": rate must be a scalar. ", "Received: shape ",
                       input.shape().DebugString(), "."));
    }
    const float rate = input.scalar<float>()();
    if (!(rate >= 0.0f && rate <= 1.0f)) {
      return absl::InvalidArgumentError(absl::StrCat(
          type_string_view(), ": decay must be in [0, 1]. Received: 1 - decay = ", rate, "."));
    }
    if (rate == kKeep) return absl::OkStatus();
    std::vector<int> full;
    LockedTables tables(ctx, lists, dtypes());
    TF_RETURN_IF_ERROR(tables.PrepareTables([&](int position) {
      if (IsClockFull(tables.clock(position), tables.clock_elements(position))) {
        full.push_back(position);
        TF_RETURN_IF_ERROR(tables.MakeRowsWritable(position));
      }
      return tables.MakeClockWritable(position);
    }));
    for (const int position : full) tables.CatchUpAll(position);
    const double log_decay = std::log1p(-static_cast<double>(rate));
    for (int i = 0; i < size(); ++i) AdvanceClock(tables.clock(i), rate, log_decay);
    return absl::OkStatus();
  }
};

#define TF_MAVG_REGISTER(Index)                                                             \
  REGISTER_KERNEL_BUILDER(                                                                  \
      Name("CatchUpRows").Device(tensorflow::DEVICE_CPU).TypeConstraint<Index>("Tindices"), \
      CatchUpRowsOp<Index>);
TF_MAVG_REGISTER(int32_t)
TF_MAVG_REGISTER(int64_t)
#undef TF_MAVG_REGISTER
REGISTER_KERNEL_BUILDER(Name("CatchUpAllRows").Device(tensorflow::DEVICE_CPU), CatchUpAllRowsOp);
REGISTER_KERNEL_BUILDER(Name("AdvanceRowClocks").Device(tensorflow::DEVICE_CPU),
                        AdvanceRowClocksOp);

}  // namespace
}  // namespace tf_mavg
