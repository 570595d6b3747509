// The per-variable ops: pairs of reference or resource variables as inputs of every step.

#include "cc/kernels/pair_functors.h"
#include "cc/kernels/pair_operations.h"
#include "cc/kernels/variable_pairs.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;

template <typename Device>
class ApplyMovingAverageOp : public OpKernel {
 public:
  explicit ApplyMovingAverageOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, UpdateSides::FromAttributes(ctx, &sides_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariablePairs pairs;
    OP_REQUIRES_OK(ctx, VariablePairs::Bind(ctx, sides_.averages, sides_.variables, &pairs));
    const tensorflow::Tensor& decay = ctx->input(ctx->num_inputs() - 1);
    OP_REQUIRES_OK(ctx, UpdatePairs<Device>(ctx, sides_, pairs, decay));
  }

 private:
  UpdateSides sides_;
};

template <typename Device>
class SwapVariablesOp : public OpKernel {
 public:
  explicit SwapVariablesOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    tensorflow::DataType dtype;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &dtype));
    first_ = {"first variable", dtype};
    second_ = {"second variable", dtype};
    OP_REQUIRES_OK(ctx, SwapModeFromAttribute(ctx, &mode_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariablePairs pairs;
    OP_REQUIRES_OK(ctx, VariablePairs::Bind(ctx, first_, second_, &pairs));
    OP_REQUIRES_OK(ctx, SwapPairs<Device>(ctx, first_, second_, pairs, mode_));
  }

 private:
  Side first_;
  Side second_;
  SwapMode mode_;
};

REGISTER_KERNEL_BUILDER(Name("ApplyMovingAverage").Device(tensorflow::DEVICE_CPU),
                        ApplyMovingAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplyMovingAverage").Device(tensorflow::DEVICE_CPU),
                        ApplyMovingAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("SwapVariables").Device(tensorflow::DEVICE_CPU),
                        SwapVariablesOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceSwapVariables").Device(tensorflow::DEVICE_CPU),
                        SwapVariablesOp<CpuDevice>);

#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("ApplyMovingAverage").Device(tensorflow::DEVICE_GPU),
                        ApplyMovingAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplyMovingAverage")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("averages")
                            .HostMemory("variables"),
                        ApplyMovingAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("SwapVariables").Device(tensorflow::DEVICE_GPU),
                        SwapVariablesOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceSwapVariables")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("first")
                            .HostMemory("second"),
                        SwapVariablesOp<GpuDevice>);
#endif

}  // namespace
}  // namespace tf_mavg
