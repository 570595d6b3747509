// What all operations do on a GPU. See devices.h for the contract, gpu_stream.h for order.

#include "cc/kernels/devices.h"
#include "cc/kernels/gpu_stream.h"
#include "cuda/launcher.h"

namespace tf_mavg {

template <>
absl::Status CopyTensor<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                               const tensorflow::Tensor& from,
                                               tensorflow::Tensor* to) const {
  return ToStatus(ctx, EnqueueCopy(to->data(), from.data(), from.TotalBytes(), StreamOf(ctx)));
}

}  // namespace tf_mavg
