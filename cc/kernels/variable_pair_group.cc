// The ops that make groups. See variable_pair_group.h for the contract.

#include "cc/kernels/variable_pair_group.h"

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_handle.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::ResourceHandle;
using ::tensorflow::core::RefCountPtr;

absl::Status OutputGroup(OpKernelContext* ctx, RefCountPtr<VariablePairGroup> group) {
  tensorflow::AllocatorAttributes on_host;
  on_host.set_on_host(true);
  tensorflow::Tensor* output;
  TF_RETURN_IF_ERROR(ctx->allocate_output(0, tensorflow::TensorShape({}), &output, on_host));
  output->scalar<ResourceHandle>()() =
      ResourceHandle::MakeRefCountingHandle(group.release(), ctx->device()->name());
  return absl::OkStatus();
}

// Binds the variables of its inputs. The handle that it returns is the only owner of the group.
class VariablePairGroupOp : public OpKernel {
 public:
  explicit VariablePairGroupOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, UpdateSides::FromAttributes(ctx, &sides_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariablePairs pairs;
    OP_REQUIRES_OK(ctx, VariablePairs::Bind(ctx, sides_.averages, sides_.variables, &pairs));
    std::vector<tensorflow::Tensor> handles;
    for (int i = 0; i < ctx->num_inputs(); ++i) handles.push_back(ctx->input(i));
    RefCountPtr<VariablePairGroup> group(
        new VariablePairGroup(sides_, std::move(pairs), std::move(handles)));
    OP_REQUIRES_OK(ctx, OutputGroup(ctx, std::move(group)));
  }

 private:
  UpdateSides sides_;
};

// Binds variables by name, so that a step of a Session runs no op for a variable's handle. Looked
// up at every step: a variable may have been deleted and made anew.
class NamedVariablePairGroupOp : public OpKernel {
 public:
  explicit NamedVariablePairGroupOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, UpdateSides::FromAttributes(ctx, &sides_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("averages", &averages_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("variables", &variables_));
    OP_REQUIRES(ctx, averages_.size() == variables_.size(),
                absl::InvalidArgumentError(absl::StrCat(
                    def().op(), ": averages and variables must be of one number. Received: ",
                    averages_.size(), " and ", variables_.size(), ".")));
  }

  void Compute(OpKernelContext* ctx) override {
    VariablePairs pairs;
    OP_REQUIRES_OK(ctx, VariablePairs::BindNamed(ctx, sides_.averages, averages_, sides_.variables,
                                                 variables_, &pairs));
    RefCountPtr<VariablePairGroup> group(new VariablePairGroup(sides_, std::move(pairs), {}));
    OP_REQUIRES_OK(ctx, OutputGroup(ctx, std::move(group)));
  }

 private:
  UpdateSides sides_;
  std::vector<std::string> averages_;
  std::vector<std::string> variables_;
};

REGISTER_KERNEL_BUILDER(Name("VariablePairGroup").Device(tensorflow::DEVICE_CPU),
                        VariablePairGroupOp);
REGISTER_KERNEL_BUILDER(Name("NamedVariablePairGroup").Device(tensorflow::DEVICE_CPU),
                        NamedVariablePairGroupOp);
#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("VariablePairGroup")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("averages")
                            .HostMemory("variables")
                            .HostMemory("group"),
                        VariablePairGroupOp);
REGISTER_KERNEL_BUILDER(
    Name("NamedVariablePairGroup").Device(tensorflow::DEVICE_GPU).HostMemory("group"),
    NamedVariablePairGroupOp);
#endif

}  // namespace

std::string VariablePairGroup::DebugString() const {
  return absl::StrCat("VariablePairGroup of ", pairs_.size(), " pairs");
}

}  // namespace tf_mavg
