// The ops that make bindings. See binding.h for the contract.

#include "cc/kernels/binding/binding.h"

#include <type_traits>

#include "absl/strings/str_cat.h"
#include "cc/kernels/binding/placement.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/moving_average/moving_average.h"
#include "cc/kernels/split_moving_average/split_moving_average.h"
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

absl::Status OutputBinding(OpKernelContext* ctx, RefCountPtr<Binding> binding) {
  tensorflow::AllocatorAttributes on_host;
  on_host.set_on_host(true);
  tensorflow::Tensor* output;
  TF_RETURN_IF_ERROR(ctx->allocate_output(0, tensorflow::TensorShape({}), &output, on_host));
  output->scalar<ResourceHandle>()() =
      ResourceHandle::MakeRefCountingHandle(binding.release(), ctx->device()->name());
  return absl::OkStatus();
}

// The sides of split averages, if there are remainders, else of others.
absl::Status DeclareSides(OpKernelConstruction* ctx, int averages, int remainders, int variables,
                          MovingAverageSides* sides) {
  if (remainders == 0) {
    return MovingAverageSides::FromNumbers(ctx, averages, variables, sides);
  }
  return DeclareSplitSides(ctx->def().op(), averages, remainders, variables, sides);
}

// Binds the variables of its inputs, and places them side by side. The handle that it returns is
// the only owner of the binding.
template <typename Device>
class BindVariablesOp : public OpKernel {
 public:
  explicit BindVariablesOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    int averages, remainders, variables;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("M", &averages));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("R", &remainders));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &variables));
    OP_REQUIRES_OK(ctx, DeclareSides(ctx, averages, remainders, variables, &sides_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromInputs(ctx, sides_.sides, sides_.size, &lists));
    if constexpr (std::is_same_v<Device, CpuDevice>) PlaceSideBySide(ctx, lists);
    std::vector<tensorflow::Tensor> handles;
    for (int i = 0; i < ctx->num_inputs(); ++i) handles.push_back(ctx->input(i));
    RefCountPtr<Binding> binding(new Binding(sides_, std::move(lists), std::move(handles)));
    OP_REQUIRES_OK(ctx, OutputBinding(ctx, std::move(binding)));
  }

 private:
  MovingAverageSides sides_;
};

// Binds variables by name, so that a step of a Session runs no op for a variable's handle. Looked
// up at every step: a variable may have been deleted and made anew.
class BindNamedVariablesOp : public OpKernel {
 public:
  explicit BindNamedVariablesOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::vector<std::string> remainders, variables;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("averages", &names_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("remainders", &remainders));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("variables", &variables));
    OP_REQUIRES_OK(
        ctx, DeclareSides(ctx, static_cast<int>(names_.size()), static_cast<int>(remainders.size()),
                          static_cast<int>(variables.size()), &sides_));
    names_.insert(names_.end(), remainders.begin(), remainders.end());
    names_.insert(names_.end(), variables.begin(), variables.end());
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromNames(ctx, sides_.sides, names_, &lists));
    RefCountPtr<Binding> binding(new Binding(sides_, std::move(lists), {}));
    OP_REQUIRES_OK(ctx, OutputBinding(ctx, std::move(binding)));
  }

 private:
  MovingAverageSides sides_;
  std::vector<std::string> names_;  // Of the averages, remainders and variables.
};

REGISTER_KERNEL_BUILDER(Name("BindVariables").Device(tensorflow::DEVICE_CPU),
                        BindVariablesOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("BindNamedVariables").Device(tensorflow::DEVICE_CPU),
                        BindNamedVariablesOp);
#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("BindVariables")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("averages")
                            .HostMemory("remainders")
                            .HostMemory("variables")
                            .HostMemory("binding"),
                        BindVariablesOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(
    Name("BindNamedVariables").Device(tensorflow::DEVICE_GPU).HostMemory("binding"),
    BindNamedVariablesOp);
#endif

}  // namespace

absl::Status Binding::FromInput(OpKernelContext* ctx, RefCountPtr<Binding>* binding) {
  return tensorflow::LookupResource(ctx, tensorflow::HandleFromInput(ctx, 0), binding);
}

std::string Binding::DebugString() const {
  return absl::StrCat("tf_mavg binding of ", lists_.size(), " variables and ", averages(),
                      " average(s) of each");
}

std::string Binding::MakeRefCountingHandleName(int64_t resource_id) const {
  return absl::StrCat(DebugString(), " (number ", resource_id, "), which lives in this process ",
                      "only: export a function that does not update or swap averages");
}

}  // namespace tf_mavg
