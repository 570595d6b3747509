// Makes bytes of the elements of a swap. See swap.h for the contract.

#include "cuda/swap/swap.h"

namespace tf_mavg {

GpuStatus LaunchSwap(int64_t element_bytes, const Lists& lists, const LaunchSettings& settings) {
  Lists bytes = lists;
  for (int i = 0; i < lists.size(); ++i) {
    bytes.set_elements(i, lists.elements()[i] * element_bytes);
  }
  return Launch("swap_bytes", bytes, 1, {}, settings);
}

}  // namespace tf_mavg
