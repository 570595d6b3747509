// Names the kernel of an update. See moving_average.h for the contract.

#include "cuda/moving_average/moving_average.h"

#include <string>

namespace tf_mavg {

GpuStatus LaunchMovingAverage(Dtypes dtypes, const Lists& lists, const float* rates,
                              const LaunchSettings& settings) {
  const DtypesFacts& facts = FactsOf(dtypes);
  const std::string kernel =
      std::string("moving_average_") + facts.name + "_" + std::to_string(lists.depth() - 1);
  return Launch(kernel, lists, facts.average_bytes, {const_cast<float*>(rates)}, settings);
}

}  // namespace tf_mavg
