// Enqueues work on lists of device buffers: one launch for over a thousand positions of two lists.
//
// Each operation has a header in a folder of its own, which says what its kernel is called.
//
// The caller owns the memory, holds whatever guards it, and has the device's context current; it
// passes the stream that the buffers belong to. Nothing waits: no call synchronises, records an
// event or allocates device memory, except that the first call in a context loads the kernels. An
// error leaves all buffers as they were, unless the device itself has failed between two launches.
// May be called from any thread.

#ifndef TF_MAVG_CUDA_LAUNCH_LAUNCHER_H_
#define TF_MAVG_CUDA_LAUNCH_LAUNCHER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cc/core/lists.h"
#include "cuda/driver/driver.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/images.h"
#include "cuda/tables/table.h"

namespace tf_mavg {

struct LaunchSettings {
  CuStream stream;
  // The form of table to use; the largest that driver and device take, unless a test asks for one.
  std::optional<TableForm> form;
};

// What a kernel takes beside lists: in device memory, used when it runs. Null is for none.
using Operands = std::array<void*, kOperands>;

// Runs the kernel of this name on the lists. An element of the widest side has element_bytes.
GpuStatus Launch(const std::string& kernel, const Lists& lists, int64_t element_bytes,
                 const Operands& operands, const LaunchSettings& settings);

// Runs the kernel of this name on a struct, its only parameter, which the driver copies. It cuts
// its work into so many chunks, at least one, and any number of blocks does it.
GpuStatus LaunchOn(const std::string& kernel, const void* parameter, int64_t chunks,
                   const LaunchSettings& settings);

// Copies between buffers of one device.
GpuStatus EnqueueCopy(void* to, const void* from, int64_t bytes, CuStream stream);

// Copies to the host's memory. If that is not pinned, the call waits for the copy.
GpuStatus EnqueueCopyToHost(void* to, const void* from, int64_t bytes, CuStream stream);

// Fills a buffer with a byte.
GpuStatus EnqueueFill(void* buffer, uint8_t byte, int64_t bytes, CuStream stream);

// Calls the function once the stream has got there, on a thread of the driver's, which must not
// call the driver, nor wait. The stream goes on when the function returns.
GpuStatus EnqueueCall(std::function<void()> function, CuStream stream);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAUNCH_LAUNCHER_H_
