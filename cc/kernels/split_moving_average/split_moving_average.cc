// The ops that update split averages. See split_moving_average.h for the contract.

#include "cc/kernels/split_moving_average/split_moving_average.h"

#include "absl/strings/str_cat.h"
#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/split_moving_average_pass.h"
#include "cc/kernels/averages_update/averages_update.h"
#include "cc/kernels/devices/cpu_threads.h"
#include "cc/kernels/devices/devices.h"
#include "cc/ops/lists_of_averages.h"

namespace tf_mavg {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

absl::Status DeclareSplitSides(absl::string_view op, int averages, int remainders, int variables,
                               MovingAverageSides* sides) {
  int lists;
  TF_RETURN_IF_ERROR(CountSplitLists(op, averages, remainders, variables, &lists));
  for (const Side& side :
       {Side{"average", tensorflow::DT_BFLOAT16}, Side{"remainder", tensorflow::DT_INT16}}) {
    for (int list = 0; list < lists; ++list) {
      sides->sides.push_back({side.role, side.dtype, lists == 1 ? -1 : list});
    }
  }
  sides->sides.push_back({"variable", tensorflow::DT_BFLOAT16});
  sides->size = variables;
  sides->dtypes = Dtypes::bfloat16;
  sides->is_split = true;
  return absl::OkStatus();
}

template <>
absl::Status UpdateSplitAverages<CpuDevice>::operator()(OpKernelContext* ctx, const Lists& lists,
                                                        const Tensor& rates) const {
  TF_RETURN_IF_ERROR(CheckRates(ctx, rates));
  RunOnThreads(
      ctx, lists,
      SplitMovingAveragePass(KernelsOf(ActiveCpuLevel()), lists, rates.flat<float>().data()));
  return absl::OkStatus();
}

template <typename Device>
absl::Status ApplySplitMovingAverage(OpKernelContext* ctx, const VariableLists& lists,
                                     const Tensor& rates) {
  return UpdateLists<Device>(
      ctx, lists, (lists.depth() - 1) / 2, rates, SplitMovingAveragePass::PrefetchStarts,
      [&](const Lists& buffers) { return UpdateSplitAverages<Device>()(ctx, buffers, rates); });
}

template absl::Status ApplySplitMovingAverage<CpuDevice>(OpKernelContext*, const VariableLists&,
                                                         const Tensor&);
#if TF_MAVG_GPU
template absl::Status ApplySplitMovingAverage<GpuDevice>(OpKernelContext*, const VariableLists&,
                                                         const Tensor&);
#endif

namespace {

// Reference or resource variables as inputs of every step.
template <typename Device>
class ApplySplitMovingAverageOp : public OpKernel {
 public:
  explicit ApplySplitMovingAverageOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    int averages, variables;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("M", &averages));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &variables));
    OP_REQUIRES_OK(ctx,
                   DeclareSplitSides(type_string_view(), averages, averages, variables, &sides_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromInputs(ctx, sides_.sides, sides_.size, &lists));
    const Tensor& rates = ctx->input(ctx->num_inputs() - 1);
    OP_REQUIRES_OK(ctx, ApplySplitMovingAverage<Device>(ctx, lists, rates));
  }

 private:
  MovingAverageSides sides_;
};

REGISTER_KERNEL_BUILDER(Name("ApplySplitMovingAverage").Device(tensorflow::DEVICE_CPU),
                        ApplySplitMovingAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplySplitMovingAverage").Device(tensorflow::DEVICE_CPU),
                        ApplySplitMovingAverageOp<CpuDevice>);
#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("ApplySplitMovingAverage").Device(tensorflow::DEVICE_GPU),
                        ApplySplitMovingAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplySplitMovingAverage")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("averages")
                            .HostMemory("remainders")
                            .HostMemory("variables"),
                        ApplySplitMovingAverageOp<GpuDevice>);
#endif

}  // namespace

}  // namespace tf_mavg
