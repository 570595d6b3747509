// The ops that update averages with stochastic rounding. See stochastic_average.h for the contract.

#include "cc/kernels/stochastic_average/stochastic_average.h"

#include "absl/strings/str_cat.h"
#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/core/formulas/random_bits.h"
#include "cc/kernels/averages_update/averages_update.h"
#include "cc/kernels/binding/binding.h"
#include "cc/kernels/devices/cpu_threads.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/moving_average/moving_average.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

template <>
absl::Status UpdateStochasticAverages<CpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                                             Dtypes dtypes, const Lists& lists,
                                                             const tensorflow::Tensor& rates,
                                                             const tensorflow::Tensor& keys) const {
  TF_RETURN_IF_ERROR(CheckRates(ctx, rates));
  RunOnThreads(
      ctx, lists,
      StochasticAveragePass(KernelsOf(ActiveCpuLevel()), dtypes, lists, rates.flat<float>().data(),
                            static_cast<const int64_t*>(keys.data())));
  return absl::OkStatus();
}

namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

// The last two inputs are the rates and the keys.
template <typename Device>
absl::Status ApplyStochasticAverage(OpKernelContext* ctx, Dtypes dtypes,
                                    const VariableLists& lists) {
  const Tensor& rates = ctx->input(ctx->num_inputs() - 2);
  const Tensor& keys = ctx->input(ctx->num_inputs() - 1);
  const int averages = lists.depth() - 1;
  if (keys.dims() != 2 || keys.dim_size(0) != averages || keys.dim_size(1) != kKeyNumbers) {
    return absl::InvalidArgumentError(absl::StrCat(
        ctx->op_kernel().type_string_view(), ": keys must be of shape [", averages, ", ",
        kKeyNumbers, "]: seed, update and index of each list of averages. Received: shape ",
        keys.shape().DebugString(), "."));
  }
  if (!CanRoundStochastically(dtypes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        ctx->op_kernel().type_string_view(),
        ": averages must be half or bfloat16. Received: ", FactsOf(dtypes).average_dtype, "."));
  }
  return UpdateLists<Device>(
      ctx, lists, averages, rates,
      [&](const Lists& buffers, int position) {
        StochasticAveragePass::PrefetchStarts(dtypes, buffers, position);
      },
      [&](const Lists& buffers) {
        return UpdateStochasticAverages<Device>()(ctx, dtypes, buffers, rates, keys);
      });
}

// Reference or resource variables as inputs of every step.
template <typename Device>
class ApplyStochasticAverageOp : public OpKernel {
 public:
  explicit ApplyStochasticAverageOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, MovingAverageSides::FromAttributes(ctx, &sides_));
  }

  void Compute(OpKernelContext* ctx) override {
    VariableLists lists;
    OP_REQUIRES_OK(ctx, VariableLists::FromInputs(ctx, sides_.sides, sides_.size, &lists));
    OP_REQUIRES_OK(ctx, ApplyStochasticAverage<Device>(ctx, sides_.dtypes, lists));
  }

 private:
  MovingAverageSides sides_;
};

template <typename Device>
class BoundApplyStochasticAverageOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<Binding> binding;
    OP_REQUIRES_OK(ctx, Binding::FromInput(ctx, &binding));
    OP_REQUIRES(ctx, !binding->is_split(),
                absl::InvalidArgumentError(absl::StrCat(
                    type_string_view(), ": averages must not be split, which lose no bits.")));
    OP_REQUIRES_OK(ctx, ApplyStochasticAverage<Device>(ctx, binding->dtypes(), binding->lists()));
  }
};

REGISTER_KERNEL_BUILDER(Name("ApplyStochasticAverage").Device(tensorflow::DEVICE_CPU),
                        ApplyStochasticAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplyStochasticAverage").Device(tensorflow::DEVICE_CPU),
                        ApplyStochasticAverageOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("BoundApplyStochasticAverage").Device(tensorflow::DEVICE_CPU),
                        BoundApplyStochasticAverageOp<CpuDevice>);

#if TF_MAVG_GPU
REGISTER_KERNEL_BUILDER(Name("ApplyStochasticAverage").Device(tensorflow::DEVICE_GPU),
                        ApplyStochasticAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("ResourceApplyStochasticAverage")
                            .Device(tensorflow::DEVICE_GPU)
                            .HostMemory("averages")
                            .HostMemory("variables"),
                        ApplyStochasticAverageOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(
    Name("BoundApplyStochasticAverage").Device(tensorflow::DEVICE_GPU).HostMemory("binding"),
    BoundApplyStochasticAverageOp<GpuDevice>);
#endif

}  // namespace
}  // namespace tf_mavg
