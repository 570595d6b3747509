// The moving average with stochastic rounding of lists in device memory: enqueues the kernels of
// stochastic_average.cuh.

#ifndef TF_MAVG_CUDA_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_H_
#define TF_MAVG_CUDA_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_H_

#include <cstdint>

#include "cc/core/dtypes.h"
#include "cc/core/lists.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {

// LaunchMovingAverage for dtypes that have stochastic rounding. `keys`: for each side of averages
// the numbers of its key, see cc/core/formulas/random_bits.h, in device memory as the rates are.
GpuStatus LaunchStochasticAverage(Dtypes dtypes, const Lists& lists, const float* rates,
                                  const int64_t* keys, const LaunchSettings& settings);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_H_
