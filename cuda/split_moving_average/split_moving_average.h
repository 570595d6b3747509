// The moving average of split lists in device memory: enqueues split_moving_average.cuh's kernels.

#ifndef TF_MAVG_CUDA_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_H_
#define TF_MAVG_CUDA_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_H_

#include "cc/core/lists.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {

// average -= (average - variable) * rate for each average of each bfloat16 variable. The first
// sides hold the averages as bfloat16, one to kMostSplitAverages of a variable, as many the
// remainders of each, the last one the variables. `rates`, one for each average, lie in device
// memory and are read when the kernels run.
GpuStatus LaunchSplitMovingAverage(const Lists& lists, const float* rates,
                                   const LaunchSettings& settings);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_H_
