// The ops that swap variables. See swap.h for the contract.

#include "cc/kernels/swap/swap.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/kernels/binding/binding.h"
#include "cc/kernels/devices/cpu_threads.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/variables/buffer_copies.h"
#include "cc/kernels/variables/variable_lists.h"

namespace tf_mavg {

template <>
absl::Status SwapContents<CpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                                 int64_t element_bytes, const Lists& lists) const {
  RunOnThreads(ctx, lists, SwapPass(KernelsOf(ActiveCpuLevel()), element_bytes, lists));
  return absl::OkStatus();
}

namespace {

using ::tensorflow::DataType;
using ::tensorflow::DataTypeString;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

absl::Status ModeFromAttribute(OpKernelConstruction* ctx, SwapMode* mode) {
  bool copy;
  TF_RETURN_IF_ERROR(ctx->GetAttr("copy", &copy));
  *mode = copy ? SwapMode::kCopy : SwapMode::kExchange;
  return absl::OkStatus();
}

// A variable whose readers copy is written without a look at who holds its buffer, so the one that
// it receives in an exchange must be its own.
template <typename Device>
absl::Status CopyIfHeld(const LockedVariable& giver, const LockedVariable& receiver,
                        BufferCopies<Device>* copies) {
  const void* data;
  const bool must_copy = receiver.copy_on_read() && giver.HasReaders();
  return must_copy ? copies->Make(giver, &data) : absl::OkStatus();
}

template <typename Device>
absl::Status ExchangeBuffers(LockedLists& locked, int first, int second) {
  BufferCopies<Device> copies(locked.ctx());
  TF_RETURN_IF_ERROR(locked.ForEachChecked([&](int position) {
    const LockedVariable a = locked.variable(first, position);
    const LockedVariable b = locked.variable(second, position);
    TF_RETURN_IF_ERROR(CopyIfHeld(a, b, &copies));
    return CopyIfHeld(b, a, &copies);
  }));
  copies.PutInPlace();
  for (int i = 0; i < locked.size(); ++i) {
    const LockedVariable a = locked.variable(first, i);
    const LockedVariable b = locked.variable(second, i);
    const Tensor held = a.tensor();
    a.Replace(b.tensor());
    b.Replace(held);
  }
  return absl::OkStatus();
}

template <typename Device>
absl::Status ExchangeContents(LockedLists& locked, int first, int second, DataType dtype) {
  BufferCopies<Device> copies(locked.ctx());
  Lists buffers(2, locked.size());
  TF_RETURN_IF_ERROR(locked.ForEachChecked([&](int position) {
    const int sides[] = {first, second};
    for (int i = 0; i < 2; ++i) {
      const void* data;
      TF_RETURN_IF_ERROR(copies.MakeWritable(locked.variable(sides[i], position), &data));
      buffers.set_buffer(i, position, data);
    }
    buffers.set_elements(position, locked.variable(second, position).tensor().NumElements());
    return absl::OkStatus();
  }));
  copies.PutInPlace();
  return SwapContents<Device>()(locked.ctx(), tensorflow::DataTypeSize(dtype), buffers);
}

// Exchanges the values of one side with the last one's; the two must be of one dtype.
template <typename Device>
absl::Status SwapWithLast(OpKernelContext* ctx, const VariableLists& lists, int first,
                          SwapMode mode) {
  const int last = lists.depth() - 1;
  const Side& first_side = lists.sides()[first];
  const Side& last_side = lists.sides()[last];
  if (first_side.dtype != last_side.dtype) {
    return absl::InvalidArgumentError(absl::StrCat(
        ctx->op_kernel().type_string_view(),
        ": variables must have one dtype to change places. Received: ", first_side.role, "s of ",
        DataTypeString(first_side.dtype), " and ", last_side.role, "s of ",
        DataTypeString(last_side.dtype), "."));
  }
  std::vector<Access> accesses(lists.depth(), Access::kNone);
  accesses[first] = accesses[last] = Access::kWrite;
  LockedLists locked(ctx, lists, std::move(accesses));
  return mode == SwapMode::kExchange
             ? ExchangeBuffers<Device>(locked, first, last)
             : ExchangeContents<Device>(locked, first, last, first_side.dtype);
}

// Reference or resource variables as inputs.
template <typename Device>
class SwapVariablesOp : public OpKernel {
 public:
  explicit SwapVariablesOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    DataType dtype;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &dtype));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    sides_ = {{"first variable", dtype}, {"second variable", dtype}};
    OP_REQUIRES_OK(ctx, ModeFromAttribute(ctx, &mode_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromInputs(ctx, sides_, size_, &lists));
    OP_REQUIRES_OK(ctx, SwapWithLast<Device>(ctx, lists, 0, mode_));
  }

 private:
  std::vector<Side> sides_;
  int size_;
  SwapMode mode_;
};

template <typename Device>
class BoundSwapVariablesOp : public OpKernel {
 public:
  explicit BoundSwapVariablesOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("index", &index_));
    OP_REQUIRES_OK(ctx, ModeFromAttribute(ctx, &mode_));
  }

  void Compute(OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<Binding> binding;
    OP_REQUIRES_OK(ctx, Binding::FromInput(ctx, &binding));
    const VariableLists& lists = binding->lists();
    OP_REQUIRES(ctx, index_ < binding->averages(),
                absl::InvalidArgumentError(absl::StrCat(
                    type_string_view(), ": index must be below the number of lists of averages, ",
                    binding->averages(), ". Received: ", index_, ".")));
    OP_REQUIRES_OK(ctx, SwapWithLast<Device>(ctx, lists, index_, mode_));
  }

 private:
  int index_;
  SwapMode mode_;
};

REGISTER_KERNEL_BUILDER(Name("SwapVariables").Device(tensorflow::DEVICE_CPU),
                        SwapVariablesOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceSwapVariables").Device(tensorflow::DEVICE_CPU),
                        SwapVariablesOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("BoundSwapVariables").Device(tensorflow::DEVICE_CPU),
                        BoundSwapVariablesOp<CpuDevice>);

#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("SwapVariables").Device(tensorflow::DEVICE_GPU),
                        SwapVariablesOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceSwapVariables")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("first")
                            .HostMemory("second"),
                        SwapVariablesOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(
    Name("BoundSwapVariables").Device(tensorflow::DEVICE_GPU).HostMemory("binding"),
    BoundSwapVariablesOp<GpuDevice>);
#endif

}  // namespace

}  // namespace tf_mavg
