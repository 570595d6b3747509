// The ops on the pairs of a group. See variable_pair_group.h for what a group is.

#include "cc/kernels/pair_functors.h"
#include "cc/kernels/pair_operations.h"
#include "cc/kernels/variable_pair_group.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::core::RefCountPtr;

absl::Status LookupGroup(OpKernelContext* ctx, RefCountPtr<VariablePairGroup>* group) {
  return tensorflow::LookupResource(ctx, tensorflow::HandleFromInput(ctx, 0), group);
}

template <typename Device>
class GroupApplyMovingAverageOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<VariablePairGroup> group;
    OP_REQUIRES_OK(ctx, LookupGroup(ctx, &group));
    OP_REQUIRES_OK(ctx, UpdatePairs<Device>(ctx, group->sides(), group->pairs(), ctx->input(1)));
  }
};

template <typename Device>
class GroupSwapVariablesOp : public OpKernel {
 public:
  explicit GroupSwapVariablesOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, SwapModeFromAttribute(ctx, &mode_));
  }

  void Compute(OpKernelContext* ctx) override {
    RefCountPtr<VariablePairGroup> group;
    OP_REQUIRES_OK(ctx, LookupGroup(ctx, &group));
    const UpdateSides& sides = group->sides();
    OP_REQUIRES_OK(ctx,
                   SwapPairs<Device>(ctx, sides.averages, sides.variables, group->pairs(), mode_));
  }

 private:
  SwapMode mode_;
};

REGISTER_KERNEL_BUILDER(Name("GroupApplyMovingAverage").Device(tensorflow::DEVICE_CPU),
                        GroupApplyMovingAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("GroupSwapVariables").Device(tensorflow::DEVICE_CPU),
                        GroupSwapVariablesOp<CpuDevice>);

#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(
    Name("GroupApplyMovingAverage").Device(tensorflow::DEVICE_GPU).HostMemory("group"),
    GroupApplyMovingAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(
    Name("GroupSwapVariables").Device(tensorflow::DEVICE_GPU).HostMemory("group"),
    GroupSwapVariablesOp<GpuDevice>);
#endif

}  // namespace
}  // namespace tf_mavg
