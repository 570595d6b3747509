// Enqueues the work on pairs of device buffers: one launch for over a thousand of them.
//
// The caller owns the memory, holds whatever guards it, and has the device's context current; it
// passes the stream that the buffers belong to. Nothing waits: no call synchronises, copies between
// host and device, records an event or allocates device memory, except that the first call in a
// context loads the kernels. An error leaves all buffers as they were, unless the device itself has
// failed between two launches. May be called from any thread.

#ifndef TF_MAVG_CUDA_LAUNCHER_H_
#define TF_MAVG_CUDA_LAUNCHER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "cc/core/pair_buffers.h"
#include "cc/core/pair_type.h"
#include "cuda/driver.h"
#include "cuda/gpu_status.h"
#include "cuda/images.h"

namespace tf_mavg {

struct LaunchSettings {
  CuStream stream;
  // The form of table to use; the largest that driver and device take, unless a test asks for one.
  std::optional<TableForm> form;
};

// first -= (first - second) * (1 - *decay), where the averages are first, and decay is a float32
// in device memory that is read when the kernels run.
GpuStatus LaunchUpdate(PairType type, const std::vector<PairBuffers>& pairs, const float* decay,
                       const LaunchSettings& settings);

// Exchanges the contents of first and second, bit for bit.
GpuStatus LaunchSwap(int64_t element_bytes, const std::vector<PairBuffers>& pairs,
                     const LaunchSettings& settings);

// Copies between buffers of one device.
GpuStatus EnqueueCopy(void* to, const void* from, int64_t bytes, CuStream stream);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAUNCHER_H_
