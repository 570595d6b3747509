// The ops that update averages. See moving_average.h for the contract.

#include "cc/kernels/moving_average/moving_average.h"

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/kernels/averages_update/averages_update.h"
#include "cc/kernels/binding/binding.h"
#include "cc/kernels/devices/cpu_threads.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/split_moving_average/split_moving_average.h"
#include "cc/ops/dtypes.h"
#include "cc/ops/lists_of_averages.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

template <>
absl::Status UpdateAverages<CpuDevice>::operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                                                   const Lists& lists,
                                                   const tensorflow::Tensor& rates) const {
  TF_RETURN_IF_ERROR(CheckRates(ctx, rates));
  RunOnThreads(
      ctx, lists,
      MovingAveragePass(KernelsOf(ActiveCpuLevel()), dtypes, lists, rates.flat<float>().data()));
  return absl::OkStatus();
}

namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

template <typename Device>
absl::Status ApplyMovingAverage(OpKernelContext* ctx, Dtypes dtypes, const VariableLists& lists,
                                const Tensor& rates) {
  return UpdateLists<Device>(
      ctx, lists, lists.depth() - 1, rates,
      [&](const Lists& buffers, int position) {
        MovingAveragePass::PrefetchStarts(dtypes, buffers, position);
      },
      [&](const Lists& buffers) { return UpdateAverages<Device>()(ctx, dtypes, buffers, rates); });
}

// Reference or resource variables as inputs of every step.
template <typename Device>
class ApplyMovingAverageOp : public OpKernel {
 public:
  explicit ApplyMovingAverageOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, MovingAverageSides::FromAttributes(ctx, &sides_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromInputs(ctx, sides_.sides, sides_.size, &lists));
    const Tensor& rates = ctx->input(ctx->num_inputs() - 1);
    OP_REQUIRES_OK(ctx, ApplyMovingAverage<Device>(ctx, sides_.dtypes, lists, rates));
  }

 private:
  MovingAverageSides sides_;
};

template <typename Device>
class BoundApplyMovingAverageOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<Binding> binding;
    OP_REQUIRES_OK(ctx, Binding::FromInput(ctx, &binding));
    OP_REQUIRES_OK(ctx, UpdateBound<Device>(ctx, *binding, ctx->input(1)));
  }
};

REGISTER_KERNEL_BUILDER(Name("ApplyMovingAverage").Device(tensorflow::DEVICE_CPU),
                        ApplyMovingAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplyMovingAverage").Device(tensorflow::DEVICE_CPU),
                        ApplyMovingAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("BoundApplyMovingAverage").Device(tensorflow::DEVICE_CPU),
                        BoundApplyMovingAverageOp<CpuDevice>);

#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("ApplyMovingAverage").Device(tensorflow::DEVICE_GPU),
                        ApplyMovingAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplyMovingAverage")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("averages")
                            .HostMemory("variables"),
                        ApplyMovingAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(
    Name("BoundApplyMovingAverage").Device(tensorflow::DEVICE_GPU).HostMemory("binding"),
    BoundApplyMovingAverageOp<GpuDevice>);
#endif

}  // namespace

template <typename Device>
absl::Status UpdateBound(OpKernelContext* ctx, const Binding& binding, const Tensor& rates) {
  return binding.is_split()
             ? ApplySplitMovingAverage<Device>(ctx, binding.lists(), rates)
             : ApplyMovingAverage<Device>(ctx, binding.dtypes(), binding.lists(), rates);
}
template absl::Status UpdateBound<CpuDevice>(OpKernelContext*, const Binding&, const Tensor&);

absl::Status MovingAverageSides::FromAttributes(OpKernelConstruction* ctx,
                                                MovingAverageSides* sides) {
  int averages, variables;
  TF_RETURN_IF_ERROR(ctx->GetAttr("M", &averages));
  TF_RETURN_IF_ERROR(ctx->GetAttr("N", &variables));
  return FromNumbers(ctx, averages, variables, sides);
}

absl::Status MovingAverageSides::FromNumbers(OpKernelConstruction* ctx, int averages, int variables,
                                             MovingAverageSides* sides) {
  tensorflow::DataType average, variable;
  TF_RETURN_IF_ERROR(ctx->GetAttr("Tavg", &average));
  TF_RETURN_IF_ERROR(ctx->GetAttr("T", &variable));
  TF_RETURN_IF_ERROR(FindDtypes(ctx->def().op(), average, variable, &sides->dtypes));
  int lists;
  TF_RETURN_IF_ERROR(CountLists(ctx->def().op(), averages, variables, &lists));
  for (int list = 0; list < lists; ++list) {
    sides->sides.push_back({"average", average, lists == 1 ? -1 : list});
  }
  sides->sides.push_back({"variable", variable});
  sides->size = variables;
  return absl::OkStatus();
}

}  // namespace tf_mavg
