// The update with stochastic rounding on a GPU. See stochastic_average.h for the contract,
// gpu_stream.h for order.

#include "cc/kernels/devices/devices.h"
#include "cc/kernels/devices/gpu_stream.h"
#include "cc/kernels/stochastic_average/stochastic_average.h"
#include "cuda/stochastic_average/stochastic_average.h"

namespace tf_mavg {

template <>
absl::Status UpdateStochasticAverages<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                                             Dtypes dtypes, const Lists& lists,
                                                             const tensorflow::Tensor& rates,
                                                             const tensorflow::Tensor& keys) const {
  return ToStatus(ctx,
                  LaunchStochasticAverage(dtypes, lists, static_cast<const float*>(rates.data()),
                                          static_cast<const int64_t*>(keys.data()),
                                          {StreamOf(ctx), std::nullopt}));
}

}  // namespace tf_mavg
