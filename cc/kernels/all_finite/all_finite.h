// Whether variables are finite: all elements of one list, read in one pass.
//
// It takes all locks, shared, and checks every variable before it looks at a value. It writes no
// variable and does not wait for the device: the op is done when its answer is in host memory.

#ifndef TF_MAVG_CC_KERNELS_ALL_FINITE_ALL_FINITE_H_
#define TF_MAVG_CC_KERNELS_ALL_FINITE_ALL_FINITE_H_

#include "absl/status/status.h"
#include "cc/core/dtypes.h"
#include "cc/core/lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

// Sets *all_finite, in host memory, to whether every element of the one side is finite. The side
// holds variables of these dtypes. On a GPU this is set when the op's stream gets there; the memory
// should be pinned, or else the call waits for that.
template <typename Device>
struct FindAllFinite {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes, const Lists& lists,
                          bool* all_finite) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_ALL_FINITE_ALL_FINITE_H_
