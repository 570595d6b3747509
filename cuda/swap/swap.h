// The swap of two lists in device memory: enqueues the kernel of swap.cuh.

#ifndef TF_MAVG_CUDA_SWAP_SWAP_H_
#define TF_MAVG_CUDA_SWAP_SWAP_H_

#include <cstdint>

#include "cc/core/lists.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {

// Exchanges the contents of the two sides, whose elements have element_bytes, bit for bit.
GpuStatus LaunchSwap(int64_t element_bytes, const Lists& lists, const LaunchSettings& settings);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_SWAP_SWAP_H_
