// What all operations do on a GPU. See devices.h for the contract, gpu_stream.h for order.

#include <functional>
#include <utility>

#include "cc/kernels/devices/devices.h"
#include "cc/kernels/devices/gpu_stream.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {

template <>
absl::Status CopyTensor<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                               const tensorflow::Tensor& from,
                                               tensorflow::Tensor* to) const {
  return ToStatus(ctx, EnqueueCopy(to->data(), from.data(), from.TotalBytes(), StreamOf(ctx)));
}

// Not by TensorFlow's EventMgr, which a TensorFlow without GPUs lacks, and this library with it.
// The driver's thread must not run what `done` starts, since that may call the driver.
template <>
absl::Status CallWhenReached<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                                    std::function<void()> done) const {
  auto* const threads = ctx->device()->tensorflow_cpu_worker_threads()->workers;
  return ToStatus(ctx, EnqueueCall([threads, done = std::move(done)] { threads->Schedule(done); },
                                   StreamOf(ctx)));
}

}  // namespace tf_mavg
