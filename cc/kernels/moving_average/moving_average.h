// The moving average on variables: K averages of each of N variables move towards it in one pass.
//
// Locks, checks, room and errors are those of every update: see cc/kernels/averages_update.

#ifndef TF_MAVG_CC_KERNELS_MOVING_AVERAGE_MOVING_AVERAGE_H_
#define TF_MAVG_CC_KERNELS_MOVING_AVERAGE_MOVING_AVERAGE_H_

#include <vector>

#include "absl/status/status.h"
#include "cc/core/dtypes.h"
#include "cc/core/lists.h"
#include "cc/kernels/variables/variable_lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

class Binding;

// The declaration of the operation: K sides of averages, which it writes, and one of variables,
// which it reads.
struct MovingAverageSides {
  std::vector<Side> sides;
  int size = 0;  // Variables a side.
  Dtypes dtypes{};
  bool is_split = false;  // Whether averages are: see cc/core/formulas/split.h.

  // Reads the attributes M, N, T and Tavg; an error if no update takes such averages and variables.
  static absl::Status FromAttributes(tensorflow::OpKernelConstruction* ctx,
                                     MovingAverageSides* sides);
  // The same with M and N given.
  static absl::Status FromNumbers(tensorflow::OpKernelConstruction* ctx, int averages,
                                  int variables, MovingAverageSides* sides);
};

// average -= (average - variable) * rate on memory. The first sides hold the averages, the last one
// the variables; `rates` are as many float32 numbers as there are sides of averages, in the
// device's own memory. A rate outside [0, 1] is an error where the host can see it. An error has
// written nothing.
template <typename Device>
struct UpdateAverages {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes, const Lists& lists,
                          const tensorflow::Tensor& rates) const;
};

// The update of the variables and averages of a binding, whole or split ones.
template <typename Device>
absl::Status UpdateBound(tensorflow::OpKernelContext* ctx, const Binding& binding,
                         const tensorflow::Tensor& rates);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_MOVING_AVERAGE_MOVING_AVERAGE_H_
