// The swap of two stretches of memory, at the instruction level of the includer.
//
// Included by cpu_kernels_level.cc only, whose rules on linkage hold here.

#ifndef TF_MAVG_CC_CORE_CPU_LEVELS_SWAP_LEVEL_H_
#define TF_MAVG_CC_CORE_CPU_LEVELS_SWAP_LEVEL_H_

#include <cstdint>

namespace tf_mavg {
namespace {

// The compiler makes vectors of it.
void SwapStretch(void* first, void* second, int64_t bytes) {
  unsigned char* __restrict a = static_cast<unsigned char*>(first);
  unsigned char* __restrict b = static_cast<unsigned char*>(second);
  for (int64_t i = 0; i < bytes; ++i) {
    const unsigned char byte = a[i];
    a[i] = b[i];
    b[i] = byte;
  }
}

}  // namespace
}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LEVELS_SWAP_LEVEL_H_
