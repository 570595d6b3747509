// The ops that update averages. See moving_average.h for the contract.

#include "cc/kernels/moving_average.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/core/cpu_kernels.h"
#include "cc/core/cpu_pass.h"
#include "cc/core/moving_average.h"
#include "cc/kernels/binding.h"
#include "cc/kernels/buffer_copies.h"
#include "cc/kernels/cpu_threads.h"
#include "cc/kernels/devices.h"
#include "cc/ops/dtypes.h"
#include "cc/ops/lists_of_averages.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

template <>
absl::Status UpdateAverages<CpuDevice>::operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                                                   const Lists& lists,
                                                   const tensorflow::Tensor& rates) const {
  for (int i = 0; i < rates.NumElements(); ++i) {
    const float rate = rates.vec<float>()(i);
    if (rate >= 0.0f && rate <= 1.0f) continue;  // NaN is in no interval.
    const std::string of_list = rates.NumElements() == 1 ? "" : absl::StrCat(" for list ", i);
    return absl::InvalidArgumentError(
        absl::StrCat(ctx->op_kernel().type_string_view(),
                     ": decay must be in [0, 1]. Received: 1 - decay = ", rate, of_list, "."));
  }
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

// Whether this is a step that leaves all averages alone. On a GPU only the kernel knows.
bool KeepAll(const Tensor& rates) {
  const float* const first = rates.flat<float>().data();
  return std::all_of(first, first + rates.NumElements(), [](float rate) { return rate == kKeep; });
}

template <typename Device>
absl::Status ApplyMovingAverage(OpKernelContext* ctx, Dtypes dtypes, const VariableLists& lists,
                                const Tensor& rates) {
  const int averages = lists.depth() - 1;
  // Shape functions do not see what eager execution, placeholders and bindings bring.
  if (rates.dims() != 1 || rates.NumElements() != averages) {
    return absl::InvalidArgumentError(absl::StrCat(
        ctx->op_kernel().type_string_view(), ": rates must be of shape [", averages,
        "], one a list of averages. Received: shape ", rates.shape().DebugString(), "."));
  }
  if (std::is_same_v<Device, CpuDevice> && KeepAll(rates)) return absl::OkStatus();
  std::vector<Access> accesses(lists.depth(), Access::kWrite);
  accesses[averages] = Access::kRead;
  LockedLists locked(ctx, lists, std::move(accesses));
  Lists buffers(lists.depth(), lists.size());
  BufferCopies<Device> copies(ctx);
  TF_RETURN_IF_ERROR(locked.ForEachChecked([&](int position) {
    for (int side = 0; side < averages; ++side) {
      const void* data;
      TF_RETURN_IF_ERROR(copies.MakeWritable(locked.variable(side, position), &data));
      buffers.set_buffer(side, position, data);
    }
    const Tensor& variable = locked.variable(averages, position).tensor();
    buffers.set_buffer(averages, position, variable.data());
    buffers.set_elements(position, variable.NumElements());
    if constexpr (std::is_same_v<Device, CpuDevice>) {
      MovingAveragePass::PrefetchStarts(dtypes, buffers, position);
    }
    return absl::OkStatus();
  }));
  copies.PutInPlace();
  return UpdateAverages<Device>()(ctx, dtypes, buffers, rates);
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
    OP_REQUIRES_OK(
        ctx, ApplyMovingAverage<Device>(ctx, binding->dtypes(), binding->lists(), ctx->input(1)));
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
