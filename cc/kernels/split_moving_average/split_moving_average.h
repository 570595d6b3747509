// The moving average on variables where float32 averages are split into bfloat16 and a remainder.
//
// Locks, checks, room and errors are those of every update: see cc/kernels/averages_update.

#ifndef TF_MAVG_CC_KERNELS_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_H_
#define TF_MAVG_CC_KERNELS_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/core/lists.h"
#include "cc/kernels/moving_average/moving_average.h"
#include "cc/kernels/variables/variable_lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

// Declares K sides of averages and K of remainders, which the operation writes, and one of
// variables, which it reads. An error of the op if the numbers do not make whole lists.
absl::Status DeclareSplitSides(absl::string_view op, int averages, int remainders, int variables,
                               MovingAverageSides* sides);

// average -= (average - variable) * rate on memory, the sides being in that order; `rates` as of
// UpdateAverages.
template <typename Device>
struct UpdateSplitAverages {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, const Lists& lists,
                          const tensorflow::Tensor& rates) const;
};

// The whole of an op: finds no variables, but checks, locks and updates them.
template <typename Device>
absl::Status ApplySplitMovingAverage(tensorflow::OpKernelContext* ctx, const VariableLists& lists,
                                     const tensorflow::Tensor& rates);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_H_
