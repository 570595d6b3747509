// The update of split averages on a GPU. See split_moving_average.h for the contract, gpu_stream.h
// for order.

#include "cc/kernels/devices/devices.h"
#include "cc/kernels/devices/gpu_stream.h"
#include "cc/kernels/split_moving_average/split_moving_average.h"
#include "cuda/split_moving_average/split_moving_average.h"

namespace tf_mavg {

template <>
absl::Status UpdateSplitAverages<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                                        const Lists& lists,
                                                        const tensorflow::Tensor& rates) const {
  const auto* const device_rates = static_cast<const float*>(rates.data());
  return ToStatus(ctx,
                  LaunchSplitMovingAverage(lists, device_rates, {StreamOf(ctx), std::nullopt}));
}

}  // namespace tf_mavg
