// The swap of contents on a GPU. See swap.h for the contract, gpu_stream.h for order.

#include "cc/kernels/devices/devices.h"
#include "cc/kernels/devices/gpu_stream.h"
#include "cc/kernels/swap/swap.h"
#include "cuda/swap/swap.h"

namespace tf_mavg {

template <>
absl::Status SwapContents<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                                 int64_t element_bytes, const Lists& lists) const {
  return ToStatus(ctx, LaunchSwap(element_bytes, lists, {StreamOf(ctx), std::nullopt}));
}

}  // namespace tf_mavg
