// The update of averages on a GPU. See moving_average.h for the contract, gpu_stream.h for order.

#include "cc/kernels/devices/devices.h"
#include "cc/kernels/devices/gpu_stream.h"
#include "cc/kernels/moving_average/moving_average.h"
#include "cuda/moving_average/moving_average.h"

namespace tf_mavg {

template <>
absl::Status UpdateAverages<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                                                   const Lists& lists,
                                                   const tensorflow::Tensor& rates) const {
  const auto* const device_rates = static_cast<const float*>(rates.data());
  return ToStatus(ctx,
                  LaunchMovingAverage(dtypes, lists, device_rates, {StreamOf(ctx), std::nullopt}));
}

}  // namespace tf_mavg
