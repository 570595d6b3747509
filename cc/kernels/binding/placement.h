// Puts the buffers of small variables side by side, in the order in which a step gets to them.
//
// TensorFlow allocates each variable by itself: a step over a thousand of them then begins anew in
// memory as often, and the processor looks up pages of 4 KiB. Side by side in huge pages, memory is
// read from front to back.
//
// Values do not change, and who holds a buffer keeps it. Where there is no memory for a piece,
// buffers stay where they are. Ownership: each buffer holds a counted reference to the piece of
// memory that it lies in, so the piece lives as long as one of them; pieces are small, so a
// variable that outlives the others keeps little. Locks: all variables' are held while buffers
// change. An assignment may give a variable another buffer at any time: this is about speed alone.

#ifndef TF_MAVG_CC_KERNELS_BINDING_PLACEMENT_H_
#define TF_MAVG_CC_KERNELS_BINDING_PLACEMENT_H_

#include "cc/kernels/variables/variable_lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

// Moves the buffers in host memory of the initialised variables of all sides, of those not yet
// placed. `lists` must hold resource variables.
void PlaceSideBySide(tensorflow::OpKernelContext* ctx, const VariableLists& lists);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_BINDING_PLACEMENT_H_
