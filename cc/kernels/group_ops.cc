// The group: pairs of resource variables bound once, and the ops on them.
//
// Ownership: the group holds a counted reference to every variable, and the handle that is the
// op's output holds the only one to the group; it goes when the last copy of the handle goes.
// Locks: a group is immutable, so many ops may use it at once; they meet at the variables' locks.
// Buffers are looked up under those locks at every step, since an assignment may replace one.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/pair_functors.h"
#include "cc/kernels/pair_operations.h"
#include "cc/kernels/variable_pairs.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_handle.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_mavg {
namespace {

using CpuDevice = Eigen::ThreadPoolDevice;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::ResourceHandle;
using ::tensorflow::Tensor;

class VariablePairGroup : public tensorflow::ResourceBase {
 public:
  static absl::Status Make(OpKernelContext* ctx, const UpdateSides& sides, ResourceHandle* handle) {
    tensorflow::core::RefCountPtr<VariablePairGroup> group(new VariablePairGroup(sides));
    TF_RETURN_IF_ERROR(VariablePairs::Bind(ctx, sides.averages, sides.variables, &group->pairs_));
    for (int i = 0; i < ctx->num_inputs(); ++i) group->handles_.push_back(ctx->input(i));
    *handle = ResourceHandle::MakeRefCountingHandle(group.release(), ctx->device()->name());
    return absl::OkStatus();
  }

  std::string DebugString() const override {
    return absl::StrCat("VariablePairGroup of ", pairs_.size(), " pairs");
  }

  const UpdateSides& sides() const { return sides_; }
  VariablePairs* pairs() { return &pairs_; }

 private:
  explicit VariablePairGroup(const UpdateSides& sides) : sides_(sides) {}

  const UpdateSides sides_;
  std::vector<Tensor> handles_;  // Hold the names that pairs_ borrows.
  VariablePairs pairs_;
};

class VariablePairGroupOp : public OpKernel {
 public:
  explicit VariablePairGroupOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, UpdateSides::FromAttributes(ctx, &sides_));
  }

  void Compute(OpKernelContext* ctx) override {
    tensorflow::AllocatorAttributes on_host;
    on_host.set_on_host(true);
    Tensor* output;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, tensorflow::TensorShape({}), &output, on_host));
    OP_REQUIRES_OK(ctx, VariablePairGroup::Make(ctx, sides_, &output->scalar<ResourceHandle>()()));
  }

 private:
  UpdateSides sides_;
};

absl::Status LookupGroup(OpKernelContext* ctx,
                         tensorflow::core::RefCountPtr<VariablePairGroup>* group) {
  return tensorflow::LookupResource(ctx, tensorflow::HandleFromInput(ctx, 0), group);
}

template <typename Device>
class GroupApplyMovingAverageOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<VariablePairGroup> group;
    OP_REQUIRES_OK(ctx, LookupGroup(ctx, &group));
    OP_REQUIRES_OK(ctx, UpdatePairs<Device>(ctx, group->sides(), group->pairs(), ctx->input(1)));
  }
};

template <typename Device>
class GroupSwapVariablesOp : public OpKernel {
 public:
  explicit GroupSwapVariablesOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    bool copy;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("copy", &copy));
    mode_ = copy ? SwapMode::kCopy : SwapMode::kExchange;
  }

  void Compute(OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<VariablePairGroup> group;
    OP_REQUIRES_OK(ctx, LookupGroup(ctx, &group));
    const UpdateSides& sides = group->sides();
    OP_REQUIRES_OK(ctx,
                   SwapPairs<Device>(ctx, sides.averages, sides.variables, group->pairs(), mode_));
  }

 private:
  SwapMode mode_;
};

REGISTER_KERNEL_BUILDER(Name("VariablePairGroup").Device(tensorflow::DEVICE_CPU),
                        VariablePairGroupOp);
REGISTER_KERNEL_BUILDER(Name("GroupApplyMovingAverage").Device(tensorflow::DEVICE_CPU),
                        GroupApplyMovingAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("GroupSwapVariables").Device(tensorflow::DEVICE_CPU),
                        GroupSwapVariablesOp<CpuDevice>);

#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("VariablePairGroup")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("averages")
                            .HostMemory("variables")
                            .HostMemory("group"),
                        VariablePairGroupOp);
REGISTER_KERNEL_BUILDER(
    Name("GroupApplyMovingAverage").Device(tensorflow::DEVICE_GPU).HostMemory("group"),
    GroupApplyMovingAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(
    Name("GroupSwapVariables").Device(tensorflow::DEVICE_GPU).HostMemory("group"),
    GroupSwapVariablesOp<GpuDevice>);
#endif

}  // namespace
}  // namespace tf_mavg
