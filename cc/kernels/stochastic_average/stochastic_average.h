// The moving average on variables with stochastic rounding: as in
// cc/kernels/moving_average/moving_average.h, with a key for each list of averages.

#ifndef TF_MAVG_CC_KERNELS_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_H_
#define TF_MAVG_CC_KERNELS_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_H_

#include "absl/status/status.h"
#include "cc/core/dtypes.h"
#include "cc/core/lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

// UpdateAverages for dtypes that have stochastic rounding. `keys`: for each side of averages the
// numbers of its key, see cc/core/formulas/random_bits.h, in the device's own memory.
template <typename Device>
struct UpdateStochasticAverages {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes, const Lists& lists,
                          const tensorflow::Tensor& rates, const tensorflow::Tensor& keys) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_H_
