// The swap of variables: two lists exchange their values, bit for bit.
//
// It takes all locks, checks every variable, makes room where a reader still holds a buffer that is
// to be written, and only then writes. If it returns an error, no variable has changed.

#ifndef TF_MAVG_CC_KERNELS_SWAP_SWAP_H_
#define TF_MAVG_CC_KERNELS_SWAP_SWAP_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cc/core/lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

enum class SwapMode {
  kExchange,  // The buffers change places: no byte is moved.
  kCopy,      // The bytes change places: every buffer stays with its variable.
};

// Exchanges the contents of two sides of memory. An error has written nothing.
template <typename Device>
struct SwapContents {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, int64_t element_bytes,
                          const Lists& lists) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_SWAP_SWAP_H_
