// The moving average of lists in device memory: enqueues the kernels of moving_average.cuh.

#ifndef TF_MAVG_CUDA_MOVING_AVERAGE_MOVING_AVERAGE_H_
#define TF_MAVG_CUDA_MOVING_AVERAGE_MOVING_AVERAGE_H_

#include "cc/core/dtypes.h"
#include "cc/core/lists.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {

// average -= (average - variable) * rate for each average of each variable. The first sides hold
// the averages, one to kMostAverages of a variable, the last one the variables. `rates`, one for
// each side of averages, lie in device memory and are read when the kernels run.
GpuStatus LaunchMovingAverage(Dtypes dtypes, const Lists& lists, const float* rates,
                              const LaunchSettings& settings);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_MOVING_AVERAGE_MOVING_AVERAGE_H_
