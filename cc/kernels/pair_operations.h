// The two operations on pairs of variables, for the per-variable ops and the group ops alike.
//
// Both take all locks, check every pair, make room where a reader still holds a buffer that is to
// be written, and only then write. If they return an error, no variable has changed.

#ifndef TF_MAVG_CC_KERNELS_PAIR_OPERATIONS_H_
#define TF_MAVG_CC_KERNELS_PAIR_OPERATIONS_H_

#include "absl/status/status.h"
#include "cc/core/pair_type.h"
#include "cc/kernels/variable_pairs.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

// The roles and dtypes of the two sides of an update.
struct UpdateSides {
  Side averages{"average", tensorflow::DT_INVALID};
  Side variables{"variable", tensorflow::DT_INVALID};
  PairType type{};

  // Reads the attributes T and Tavg; an error if an update accepts no such pair.
  static absl::Status FromAttributes(tensorflow::OpKernelConstruction* ctx, UpdateSides* sides);
};

enum class SwapMode {
  kExchange,  // The buffers change places: no byte is moved.
  kCopy,      // The bytes change places: every buffer stays with its variable.
};

// Reads the attribute `copy`.
absl::Status SwapModeFromAttribute(tensorflow::OpKernelConstruction* ctx, SwapMode* mode);

// Enqueues, or on the CPU does, the update of all pairs.
template <typename Device>
absl::Status UpdatePairs(tensorflow::OpKernelContext* ctx, const UpdateSides& sides,
                         const VariablePairs& pairs, const tensorflow::Tensor& decay);

// Exchanges the values of all pairs; the two sides must be of one dtype.
template <typename Device>
absl::Status SwapPairs(tensorflow::OpKernelContext* ctx, const Side& first, const Side& second,
                       const VariablePairs& pairs, SwapMode mode);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_PAIR_OPERATIONS_H_
