// Names the kernel of an update. See split_moving_average.h for the contract.

#include "cuda/split_moving_average/split_moving_average.h"

#include <string>

namespace tf_mavg {

GpuStatus LaunchSplitMovingAverage(const Lists& lists, const float* rates,
                                   const LaunchSettings& settings) {
  constexpr int64_t kElementBytes = 2;
  const std::string kernel = "split_moving_average_" + std::to_string((lists.depth() - 1) / 2);
  return Launch(kernel, lists, kElementBytes, {const_cast<float*>(rates)}, settings);
}

}  // namespace tf_mavg
