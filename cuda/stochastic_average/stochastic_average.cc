// Names the kernel of an update that is rounded stochastically. See stochastic_average.h for the
// contract.

#include "cuda/stochastic_average/stochastic_average.h"

#include <string>

namespace tf_mavg {

GpuStatus LaunchStochasticAverage(Dtypes dtypes, const Lists& lists, const float* rates,
                                  const int64_t* keys, const LaunchSettings& settings) {
  const DtypesFacts& facts = FactsOf(dtypes);
  const std::string kernel =
      std::string("stochastic_average_") + facts.name + "_" + std::to_string(lists.depth() - 1);
  return Launch(kernel, lists, facts.average_bytes,
                {const_cast<float*>(rates), const_cast<int64_t*>(keys)}, settings);
}

}  // namespace tf_mavg
