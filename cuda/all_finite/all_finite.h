// Whether a list in device memory is all finite: enqueues the kernels of all_finite.cuh.

#ifndef TF_MAVG_CUDA_ALL_FINITE_ALL_FINITE_H_
#define TF_MAVG_CUDA_ALL_FINITE_ALL_FINITE_H_

#include "cc/core/dtypes.h"
#include "cc/core/lists.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {

// Sets *all_finite, in device memory, to whether every element of the one side is finite. The side
// holds variables of these dtypes.
GpuStatus LaunchAllFinite(Dtypes dtypes, const Lists& lists, bool* all_finite,
                          const LaunchSettings& settings);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_ALL_FINITE_ALL_FINITE_H_
