// The op that refuses a step which has written rows that were not caught up before it.
//
// It reads the counters and clocks of several tables under their locks, and writes nothing. On the
// CPU alone: on a GPU the host would have to wait for what it finds.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/core/cpu/lazy_rows_pass.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cc/kernels/variables/variable_lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

// The sides of the lists.
constexpr int kSeen = 0;
constexpr int kClock = 1;
constexpr int kSides = 2;

// Whether an index is that of a row which has seen so many steps, for all indices.
template <typename Index>
bool HaveSeen(const Tensor& seen, int64_t steps, const Tensor& indices) {
  const auto* const counters = static_cast<const int64_t*>(seen.data());
  const auto* const rows = static_cast<const Index*>(indices.data());
  const int64_t count = indices.NumElements();
  if (FirstWrongIndex(rows, count, seen.NumElements()) != count) return false;
  int64_t differs = 0;  // Without a branch, so that no counter waits for another one.
  for (int64_t i = 0; i < count; ++i) differs |= counters[rows[i]] ^ steps;
  return differs == 0;
}

class CheckRowsAreCaughtUpOp : public OpKernel {
 public:
  explicit CheckRowsAreCaughtUpOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("refusals", &refusals_));
    OP_REQUIRES(
        ctx,
        static_cast<int>(refusals_.size()) == size_ && ctx->num_inputs() <= (kSides + 1) * size_,
        absl::InvalidArgumentError(
            absl::StrCat(ctx->def().op(),
                         ": a table must have one refusal, and at most one list of "
                         "indices. Received: ",
                         size_, " tables, ", refusals_.size(), " refusals and ",
                         ctx->num_inputs() - kSides * size_, " lists.")));
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromInputs(ctx,
                                                  {{"row counter", tensorflow::DT_INT64, -1, true},
                                                   {"clock", tensorflow::DT_DOUBLE, -1, true}},
                                                  size_, &lists));
    LockedLists locked(ctx, lists, {Access::kRead, Access::kRead});
    OP_REQUIRES_OK(ctx, locked.ForEachChecked([&](int position) -> absl::Status {
      if (IsRight(ctx, locked, position)) return absl::OkStatus();
      return absl::InvalidArgumentError(refusals_[position]);
    }));
  }

 private:
  bool IsRight(OpKernelContext* ctx, LockedLists& locked, int position) const {
    const Tensor& seen = locked.variable(kSeen, position).tensor();
    const Tensor& clock = locked.variable(kClock, position).tensor();
    if (clock.NumElements() < ClockElements(1)) return false;
    const auto steps = static_cast<int64_t>(static_cast<const double*>(clock.data())[kClockSteps]);
    const int input = kSides * size_ + position;
    if (input >= ctx->num_inputs()) return steps == 0;
    const Tensor& indices = ctx->input(input);
    return indices.dtype() == tensorflow::DT_INT32 ? HaveSeen<int32_t>(seen, steps, indices)
                                                   : HaveSeen<int64_t>(seen, steps, indices);
  }

  int size_;
  std::vector<std::string> refusals_;
};

REGISTER_KERNEL_BUILDER(Name("CheckRowsAreCaughtUp").Device(tensorflow::DEVICE_CPU),
                        CheckRowsAreCaughtUpOp);

}  // namespace
}  // namespace tf_mavg
