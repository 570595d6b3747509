// A float32 as two halves of 16 bits, for host and device code alike: a bfloat16, which is the
// float32 rounded, and an integer, the remainder, by which the float32's bits differ from it.
//
// With `bits` those of the float32: high = (bits + 0x8000) >> 16, a carry included, and remainder =
// bits - (high << 16), between -2^15 and 2^15 - 1. So bits = (high << 16) + remainder, for every
// float32: denormal numbers, infinities and zeros of either sign keep all of their bits. Rounding
// is to nearest, ties away from zero; the largest numbers become an infinity with a remainder below
// it.
//
// A NaN becomes quiet and keeps its sign and the upper bits of its payload, as when it narrows to
// bfloat16, and its remainder is 0: rounded, it could become an infinity, or a zero.

#ifndef TF_MAVG_CC_CORE_FORMULAS_SPLIT_H_
#define TF_MAVG_CC_CORE_FORMULAS_SPLIT_H_

#include <cstdint>

#include "cc/core/half.h"
#include "cc/core/portability.h"

namespace tf_mavg {

// A variable has at most so many split averages in one pass, each of two sides; there is a GPU
// kernel for each number.
inline constexpr int kMostSplitAverages = 2;

TF_MAVG_INLINE float Join(Bfloat16 high, int16_t remainder) {
  return FloatOfBits((static_cast<uint32_t>(high.bits) << 16) +
                     static_cast<uint32_t>(static_cast<int32_t>(remainder)));
}

TF_MAVG_INLINE void Split(float value, Bfloat16* high, int16_t* remainder) {
  const uint32_t bits = BitsOfFloat(value);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const uint32_t kept = is_nan ? (bits | 0x00400000u) & 0xffff0000u : bits;
  *high = Bfloat16{static_cast<uint16_t>((kept + 0x8000u) >> 16)};
  *remainder = static_cast<int16_t>(kept & 0xffffu);  // high << 16 has no such bits.
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_FORMULAS_SPLIT_H_
