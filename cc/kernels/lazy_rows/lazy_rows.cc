// The ops on averages of which only some rows are touched. See lazy_rows.h for what they do.
//
// Each takes all locks, checks every variable and index, makes room where a reader still holds a
// buffer that is to be written, and only then writes. If it returns an error, no variable has
// changed. An average's readers copy from its first such op on, as readers of variables that
// TensorFlow scatters to do: else one reader would make a writer of a few rows copy all.

#include "cc/kernels/lazy_rows/lazy_rows.h"

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/lazy_rows_pass.h"
#include "cc/kernels/devices/cpu_threads.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/lazy_rows/huge_pages.h"
#include "cc/kernels/variables/buffer_copies.h"
#include "cc/kernels/variables/variable_lists.h"
#include "cc/ops/dtypes.h"
#include "tensorflow/core/framework/op_kernel.h"

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

template <typename Device>
constexpr bool kIsOnCpu = std::is_same_v<Device, CpuDevice>;

// Calls pass(begin, end) on TensorFlow's threads for parts of [0, rows).
template <typename Pass>
void RunRowsOnThreads(OpKernelContext* ctx, int64_t rows, const Pass& pass) {
  // Half of what RunOnThreads assumes: most of a row's bytes are the first of their page.
  constexpr int64_t kBytesACycle = 2;
  constexpr int64_t kCyclesARow = 50;
  ShareOut(ctx, rows, kCyclesARow + pass.bytes_a_row() / kBytesACycle, pass);
}

void CatchUpAllOnThreads(OpKernelContext* ctx, Dtypes dtypes, const RowTable& table) {
  RunRowsOnThreads(ctx, table.rows, CatchUpAllRowsPass(KernelsOf(ActiveCpuLevel()), dtypes, table));
  RestartClock(table.clock);
}

void UseHugePagesFor(Dtypes dtypes, const RowTable& table) {
  const int64_t elements = table.rows * table.row_elements;
  UseHugePages(table.average, elements * FactsOf(dtypes).average_bytes);
  UseHugePages(table.variable, elements * FactsOf(dtypes).variable_bytes);
  UseHugePages(table.seen, table.rows * sizeof(int64_t));
}

template <typename Index>
void CatchUpOnThreads(OpKernelContext* ctx, Dtypes dtypes, const RowTable& table,
                      const RowList& list) {
  RunRowsOnThreads(ctx, list.count,
                   CatchUpRowsPass<Index>(KernelsOf(ActiveCpuLevel()), dtypes, table,
                                          static_cast<const Index*>(list.indices)));
}

}  // namespace

template <>
absl::Status CatchUpRows<CpuDevice>::operator()(OpKernelContext* ctx, Dtypes dtypes,
                                                const std::vector<RowTable>& tables,
                                                const std::vector<RowList>& lists) const {
  for (size_t i = 0; i < tables.size(); ++i) {
    const auto& catch_up =
        lists[i].index_bytes == 4 ? CatchUpOnThreads<int32_t> : CatchUpOnThreads<int64_t>;
    catch_up(ctx, dtypes, tables[i], lists[i]);
  }
  return absl::OkStatus();
}

template <>
absl::Status CatchUpAllRows<CpuDevice>::operator()(OpKernelContext* ctx, Dtypes dtypes,
                                                   const std::vector<RowTable>& tables) const {
  for (const RowTable& table : tables) CatchUpAllOnThreads(ctx, dtypes, table);
  return absl::OkStatus();
}

template <>
absl::Status AdvanceRowClocks<CpuDevice>::operator()(OpKernelContext* ctx, Dtypes dtypes,
                                                     const std::vector<RowTable>& tables,
                                                     const float* rate) const {
  for (const RowTable& table : tables) {
    if (IsClockFull(table.clock, table.clock_elements)) CatchUpAllOnThreads(ctx, dtypes, table);
    if (table.clock[kClockSteps] == 0) UseHugePagesFor(dtypes, table);  // Seldom, and not for long.
    AdvanceClock(table.clock, *rate);
  }
  return absl::OkStatus();
}

namespace {

// Tables while their locks are held: the averages, counters and clocks exclusive.
template <typename Device>
class LockedTables {
 public:
  LockedTables(OpKernelContext* ctx, const VariableLists& lists)
      : ctx_(ctx),
        lists_(lists),
        locked_(ctx, lists, {Access::kWrite, Access::kWrite, Access::kWrite, Access::kRead}),
        copies_(ctx),
        tables_(lists.size()) {}

  const RowTable& table(int position) const { return tables_[position]; }
  const std::vector<RowTable>& tables() const { return tables_; }

  // Checks every table, then calls prepare(position) -> absl::Status for it, which may call the
  // MakeWritable functions. Then puts what these have made in place.
  template <typename Prepare>
  absl::Status PrepareTables(const Prepare& prepare) {
    TF_RETURN_IF_ERROR(locked_.ForEachChecked([&](int position) {
      TF_RETURN_IF_ERROR(CheckShapes(position));
      const Tensor& variable = tensor(kVariable, position);
      const int64_t rows = variable.dim_size(0);
      tables_[position] = {tensor(kAverage, position).data(),
                           variable.data(),
                           static_cast<int64_t*>(tensor(kSeen, position).data()),
                           static_cast<double*>(tensor(kClock, position).data()),
                           tensor(kClock, position).NumElements(),
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
    tables_[position].clock = static_cast<double*>(const_cast<void*>(data));
    return absl::OkStatus();
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
  LockedLists locked_;
  BufferCopies<Device> copies_;
  std::vector<RowTable> tables_;
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

template <typename Device, typename Index>
class CatchUpRowsOp : public LazyRowsOp {
 public:
  using LazyRowsOp::LazyRowsOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const VariableLists& lists) override {
    LockedTables<Device> tables(ctx, lists);
    std::vector<RowList> rows;
    TF_RETURN_IF_ERROR(tables.PrepareTables([&](int position) {
      const Tensor& indices = ctx->input(kSides * size() + position);
      rows.push_back({indices.data(), indices.NumElements(), sizeof(Index)});
      if constexpr (kIsOnCpu<Device>) {
        const int64_t there = tables.table(position).rows;
        TF_RETURN_IF_ERROR(CheckIndices(indices, there, lists, position));
      }
      return tables.MakeRowsWritable(position);
    }));
    return CatchUpRows<Device>()(ctx, dtypes(), tables.tables(), rows);
  }

  absl::Status CheckIndices(const Tensor& indices, int64_t rows, const VariableLists& lists,
                            int position) const {
    const auto* const all = static_cast<const Index*>(indices.data());
    const int64_t wrong = FirstWrongIndex(all, indices.NumElements(), rows);
    if (wrong == indices.NumElements()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(type_string_view(), ": indices must be those of the ", rows, " rows of ",
                     lists.Describe(kVariable, position), ". Received: ", all[wrong], "."));
  }
};

template <typename Device>
class CatchUpAllRowsOp : public LazyRowsOp {
 public:
  using LazyRowsOp::LazyRowsOp;

 private:
  absl::Status Run(OpKernelContext* ctx, const VariableLists& lists) override {
    LockedTables<Device> tables(ctx, lists);
    std::vector<int> behind;
    TF_RETURN_IF_ERROR(tables.PrepareTables([&](int position) -> absl::Status {
      // On a GPU only the kernel knows.
      if (kIsOnCpu<Device> && tables.table(position).clock[kClockSteps] == 0) {
        return absl::OkStatus();
      }
      behind.push_back(position);
      TF_RETURN_IF_ERROR(tables.MakeRowsWritable(position));
      return tables.MakeClockWritable(position);
    }));
    std::vector<RowTable> of_behind;
    for (const int position : behind) of_behind.push_back(tables.table(position));
    return CatchUpAllRows<Device>()(ctx, dtypes(), of_behind);
  }
};

template <typename Device>
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
    const auto* const rate = static_cast<const float*>(input.data());
    if constexpr (kIsOnCpu<Device>) {
      if (!(*rate >= 0.0f && *rate <= 1.0f)) {
        return absl::InvalidArgumentError(absl::StrCat(
            type_string_view(), ": decay must be in [0, 1]. Received: 1 - decay = ", *rate, "."));
      }
      if (*rate == kKeep) return absl::OkStatus();
    }
    LockedTables<Device> tables(ctx, lists);
    TF_RETURN_IF_ERROR(tables.PrepareTables([&](int position) {
      const RowTable& table = tables.table(position);
      // On a GPU only the kernel knows.
      if (!kIsOnCpu<Device> || IsClockFull(table.clock, table.clock_elements)) {
        TF_RETURN_IF_ERROR(tables.MakeRowsWritable(position));
      }
      return tables.MakeClockWritable(position);
    }));
    return AdvanceRowClocks<Device>()(ctx, dtypes(), tables.tables(), rate);
  }
};

#define TF_MAVG_ON_CPU(name) Name(name).Device(tensorflow::DEVICE_CPU)
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_CPU("CatchUpRows").TypeConstraint<int32_t>("Tindices"),
                        CatchUpRowsOp<CpuDevice, int32_t>);
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_CPU("CatchUpRows").TypeConstraint<int64_t>("Tindices"),
                        CatchUpRowsOp<CpuDevice, int64_t>);
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_CPU("CatchUpAllRows"), CatchUpAllRowsOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_CPU("AdvanceRowClocks"), AdvanceRowClocksOp<CpuDevice>);
#undef TF_MAVG_ON_CPU

#if TF_MAVG_GPU
// The host has the handles; indices and rate lie in device memory.
#define TF_MAVG_ON_GPU(name)          \
  Name(name)                          \
      .Device(tensorflow::DEVICE_GPU) \
      .HostMemory("averages")         \
      .HostMemory("seen")             \
      .HostMemory("clocks")           \
      .HostMemory("variables")
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_GPU("CatchUpRows").TypeConstraint<int32_t>("Tindices"),
                        CatchUpRowsOp<GpuDevice, int32_t>);
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_GPU("CatchUpRows").TypeConstraint<int64_t>("Tindices"),
                        CatchUpRowsOp<GpuDevice, int64_t>);
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_GPU("CatchUpAllRows"), CatchUpAllRowsOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(TF_MAVG_ON_GPU("AdvanceRowClocks"), AdvanceRowClocksOp<GpuDevice>);
#undef TF_MAVG_ON_GPU
#endif

}  // namespace
}  // namespace tf_mavg
