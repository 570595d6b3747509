// Whether numbers are finite, for host and device code alike: neither infinite nor NaN.
//
// A number is not finite if all bits of its exponent are ones, and then, only then, adding a one to
// the lowest of them carries into the highest bit. Carries of many numbers are joined by `or`: with
// integers alone, so that a compiler makes vectors of it and no control register has a say.

#ifndef TF_MAVG_CC_CORE_FORMULAS_ALL_FINITE_H_
#define TF_MAVG_CC_CORE_FORMULAS_ALL_FINITE_H_

#include <cstdint>

#include "cc/core/half.h"
#include "cc/core/portability.h"

namespace tf_mavg {

// The highest bit is set if the number is not finite.
TF_MAVG_INLINE uint16_t ExponentCarry(Float16 value) { return (value.bits & 0x7c00u) + 0x0400u; }

TF_MAVG_INLINE uint16_t ExponentCarry(Bfloat16 value) { return (value.bits & 0x7f80u) + 0x0080u; }

TF_MAVG_INLINE uint32_t ExponentCarry(float value) {
  return (BitsOfFloat(value) & 0x7f800000u) + 0x00800000u;
}

TF_MAVG_INLINE uint64_t ExponentCarry(double value) {
  uint64_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return (bits & 0x7ff0000000000000u) + 0x0010000000000000u;
}

// Whether one of the numbers whose carries were joined is not finite.
template <typename Carries>
TF_MAVG_INLINE bool HasCarry(Carries carries) {
  return carries >> (8 * sizeof(Carries) - 1) != 0;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_FORMULAS_ALL_FINITE_H_
