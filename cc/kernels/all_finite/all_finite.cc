// The ops that say whether variables are finite. See all_finite.h for the contract.

#include "cc/kernels/all_finite/all_finite.h"

#include <atomic>
#include <type_traits>
#include <utility>
#include <vector>

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/kernels/binding/binding.h"
#include "cc/kernels/devices/cpu_threads.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/variables/variable_lists.h"
#include "cc/ops/dtypes.h"

namespace tf_mavg {

template <>
absl::Status FindAllFinite<CpuDevice>::operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                                                  const Lists& lists, bool* all_finite) const {
  std::atomic<bool> found(true);
  RunOnThreads(ctx, lists, AllFinitePass(KernelsOf(ActiveCpuLevel()), dtypes, lists, &found));
  *all_finite = found;
  return absl::OkStatus();
}

namespace {

using ::tensorflow::AsyncOpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

absl::Status AllocateAnswer(OpKernelContext* ctx, bool** answer) {
  tensorflow::AllocatorAttributes attributes;
  attributes.set_on_host(true);
  attributes.set_gpu_compatible(true);  // Pinned.
  Tensor* output;
  TF_RETURN_IF_ERROR(ctx->allocate_output(0, tensorflow::TensorShape({}), &output, attributes));
  *answer = output->scalar<bool>().data();
  return absl::OkStatus();
}

// Looks at the last side of the lists, the variables, and outputs the answer. Holds the locks until
// the values are read or, on a GPU, until the reading is enqueued.
template <typename Device>
absl::Status OutputAllFinite(OpKernelContext* ctx, Dtypes dtypes, const VariableLists& lists) {
  bool* answer;
  TF_RETURN_IF_ERROR(AllocateAnswer(ctx, &answer));
  const int variables = lists.depth() - 1;
  std::vector<Access> accesses(lists.depth(), Access::kNone);
  accesses[variables] = Access::kRead;
  LockedLists locked(ctx, lists, std::move(accesses));
  Lists buffers(1, lists.size());
  TF_RETURN_IF_ERROR(locked.ForEachChecked([&](int position) {
    const Tensor& variable = locked.variable(variables, position).tensor();
    buffers.set_buffer(0, position, variable.data());
    buffers.set_elements(position, variable.NumElements());
    if constexpr (std::is_same_v<Device, CpuDevice>) {
      AllFinitePass::PrefetchStart(dtypes, buffers, position);
    }
    return absl::OkStatus();
  }));
  return FindAllFinite<Device>()(ctx, dtypes, buffers, answer);
}

// Reference or resource variables as inputs.
template <typename Device>
class AllFiniteOp : public AsyncOpKernel {
 public:
  explicit AllFiniteOp(OpKernelConstruction* ctx) : AsyncOpKernel(ctx) {
    tensorflow::DataType dtype;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &dtype));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    OP_REQUIRES_OK(ctx, FindDtypes(ctx->def().op(), dtype, dtype, &dtypes_));
    sides_ = {{"variable", dtype}};
  }

  void ComputeAsync(OpKernelContext* ctx, DoneCallback done) override {
    VariableLists lists;
    OP_REQUIRES_OK_ASYNC(ctx, VariableLists::FromInputs(ctx, sides_, size_, &lists), done);
    OP_REQUIRES_OK_ASYNC(ctx, OutputAllFinite<Device>(ctx, dtypes_, lists), done);
    OP_REQUIRES_OK_ASYNC(ctx, CallWhenReached<Device>()(ctx, done), done);
  }

 private:
  std::vector<Side> sides_;
  int size_;
  Dtypes dtypes_;
};

template <typename Device>
class BoundAllFiniteOp : public AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(OpKernelContext* ctx, DoneCallback done) override {
    tensorflow::core::RefCountPtr<Binding> binding;
    OP_REQUIRES_OK_ASYNC(ctx, Binding::FromInput(ctx, &binding), done);
    OP_REQUIRES_OK_ASYNC(ctx, OutputAllFinite<Device>(ctx, binding->dtypes(), binding->lists()),
                         done);
    OP_REQUIRES_OK_ASYNC(ctx, CallWhenReached<Device>()(ctx, done), done);
  }
};

REGISTER_KERNEL_BUILDER(Name("AllFinite").Device(tensorflow::DEVICE_CPU), AllFiniteOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceAllFinite").Device(tensorflow::DEVICE_CPU),
                        AllFiniteOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("BoundAllFinite").Device(tensorflow::DEVICE_CPU),
                        BoundAllFiniteOp<CpuDevice>);

#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("AllFinite").Device(tensorflow::DEVICE_GPU).HostMemory("all_finite"),
                        AllFiniteOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceAllFinite")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("variables")
                            .HostMemory("all_finite"),
                        AllFiniteOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("BoundAllFinite")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("binding")
                            .HostMemory("all_finite"),
                        BoundAllFiniteOp<GpuDevice>);
#endif

}  // namespace

}  // namespace tf_mavg
