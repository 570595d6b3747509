// Whether one stretch of memory is all finite, at the instruction level of the includer.
//
// Included by cpu_kernels_level.cc only, whose rules on linkage hold here.

#ifndef TF_MAVG_CC_CORE_CPU_LEVELS_ALL_FINITE_LEVEL_H_
#define TF_MAVG_CC_CORE_CPU_LEVELS_ALL_FINITE_LEVEL_H_

#include <cstdint>

#include "cc/core/formulas/all_finite.h"

namespace tf_mavg {
namespace {

// The compiler makes vectors of it.
template <typename Element>
bool IsStretchFinite(const void* elements, int64_t count) {
  const Element* const values = static_cast<const Element*>(elements);
  decltype(ExponentCarry(Element())) carries = 0;
  for (int64_t i = 0; i < count; ++i) carries |= ExponentCarry(values[i]);
  return !HasCarry(carries);
}

}  // namespace
}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LEVELS_ALL_FINITE_LEVEL_H_
