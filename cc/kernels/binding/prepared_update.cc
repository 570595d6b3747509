// An update of bound variables on the CPU that runs without TensorFlow's eager runtime.
//
// In eager mode the runtime takes longer to find and call a kernel than a thousand small variables
// take to be updated, the more when a training step has left nothing of it in a cache. So a step
// that is the same each time is prepared once: the op returns the addresses of a PreparedUpdate and
// of what runs and frees it, and the caller calls those.
//
// Ownership: whoever has the addresses frees the update, once. It holds a reference to the binding,
// and borrows the device, which lives as long as the process's eager context. Locks, checks and
// errors are those of every update: see cc/kernels/averages_update. A run that fails has changed
// nothing, and says no more than that: the op BoundApplyMovingAverage says why. Many threads may
// run one update at once.

#include <cstdint>
#include <memory>
#include <utility>

#include "cc/kernels/binding/binding.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/moving_average/moving_average.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

class PreparedUpdate {
 public:
  PreparedUpdate(tensorflow::DeviceBase* device, std::unique_ptr<OpKernel> kernel,
                 tensorflow::core::RefCountPtr<Binding> binding, Tensor rates)
      : device_(device),
        kernel_(std::move(kernel)),
        binding_(std::move(binding)),
        rates_(std::move(rates)) {}

  // Whether it has updated; called by its address, with that of an update.
  static bool Run(PreparedUpdate* update) {
    OpKernelContext::Params params;
    params.device = update->device_;
    params.op_kernel = update->kernel_.get();
    OpKernelContext ctx(&params, /*num_outputs=*/0);
    return UpdateBound<CpuDevice>(&ctx, *update->binding_, update->rates_).ok();
  }

  static void Free(PreparedUpdate* update) { delete update; }

 private:
  tensorflow::DeviceBase* const device_;
  const std::unique_ptr<OpKernel> kernel_;  // That of BoundApplyMovingAverage, for its name.
  const tensorflow::core::RefCountPtr<Binding> binding_;
  const Tensor rates_;
};

class PrepareBoundUpdateOp : public OpKernel {
 public:
  explicit PrepareBoundUpdateOp(tensorflow::OpKernelConstruction* ctx)
      : OpKernel(ctx), graph_def_version_(ctx->graph_def_version()) {}

  void Compute(OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<Binding> binding;
    OP_REQUIRES_OK(ctx, Binding::FromInput(ctx, &binding));
    tensorflow::NodeDef node;
    node.set_name("BoundApplyMovingAverage");
    node.set_op("BoundApplyMovingAverage");
    node.add_input("binding");
    node.add_input("rates");
    absl::Status made;
    tensorflow::DeviceBase* const device = ctx->device();
    std::unique_ptr<OpKernel> kernel =
        tensorflow::CreateOpKernel(tensorflow::DeviceType(tensorflow::DEVICE_CPU), device,
                                   ctx->get_allocator({}), node, graph_def_version_, &made);
    OP_REQUIRES_OK(ctx, made);
    Tensor* addresses;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, tensorflow::TensorShape({3}), &addresses));
    auto* const update =
        new PreparedUpdate(device, std::move(kernel), std::move(binding), ctx->input(1));
    auto found = addresses->vec<int64_t>();
    found(0) = reinterpret_cast<int64_t>(update);
    found(1) = reinterpret_cast<int64_t>(&PreparedUpdate::Run);
    found(2) = reinterpret_cast<int64_t>(&PreparedUpdate::Free);
  }

 private:
  const int graph_def_version_;
};

REGISTER_KERNEL_BUILDER(Name("PrepareBoundUpdate").Device(tensorflow::DEVICE_CPU),
                        PrepareBoundUpdateOp);

}  // namespace
}  // namespace tf_mavg
