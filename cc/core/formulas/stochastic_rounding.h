// Stochastic rounding of float32 to half precision, for host and device alike: a number goes to one
// of its two neighbours, and to the nearer one so much more often that its mean is the number.
//
// One number and 32 random bits; `Word` is uint32_t, or a vector of them. What can be held is kept,
// whatever the random bits; an infinity stays one, and a NaN becomes quiet as in half.h. Beyond the
// largest number there is no neighbour to round up to, so there the nearest is taken, and no number
// overflows that the nearest rounding keeps finite.

#ifndef TF_MAVG_CC_CORE_FORMULAS_STOCHASTIC_ROUNDING_H_
#define TF_MAVG_CC_CORE_FORMULAS_STOCHASTIC_ROUNDING_H_

#include <cstdint>

#include "cc/core/half.h"
#include "cc/core/portability.h"

namespace tf_mavg {

template <typename Word>
TF_MAVG_INLINE Word Least(Word word, uint32_t limit) {
  return word < limit ? word : Word{} + limit;
}

template <typename Word>
TF_MAVG_INLINE Word Most(Word word, uint32_t limit) {
  return word > limit ? word : Word{} + limit;
}

// The bits of a float32 to those of a bfloat16, in the upper half of the word. Exact: the 16 bits
// that a bfloat16 lacks are the chance in 2^16 of the neighbour above, and as many are random.
template <typename Word>
TF_MAVG_INLINE Word BitsOfBfloat16(Word bits, Word random) {
  const Word magnitude = bits & 0x7fffffffu;
  // The largest number is odd, so half of its last bit rounds what is beyond it to the nearest.
  const Word added = magnitude < 0x7f7f0000u ? random >> 16 : Word{} + 0x8000u;
  return magnitude > 0x7f800000u ? bits | 0x00400000u : bits + added;
}

// The bits of the float32 that the part of a float16's step is multiplied by to be in units of
// 2^-31 steps, for a number of this magnitude.
template <typename Word>
TF_MAVG_INLINE Word BitsOfUnitsAStep(Word magnitude) {
  // The step at 2^-14, whose exponent is 113, is 2^-24; 2^55 has the exponent 182.
  return ((182u + 113u) << 23) - Most<Word>(magnitude & 0x7f800000u, 113u << 23);
}

// The bits of a float32 to those of a float16, in the lower half of the word.
//
// A float16 has steps of 2^-24 below 2^-14, however small the number, and of 2^13 units of a
// float32 above. The part of a step that the number is beyond its lower neighbour is the chance of
// the upper one, out of 2^31: exact from 2^-32 on; below it lacks less than 2^-31 of a step, which
// is 2^-55.
TF_MAVG_INLINE uint32_t BitsOfFloat16(uint32_t bits, uint32_t random) {
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  if (magnitude >= 0x477fe000u) return NarrowToFloat16(FloatOfBits(bits)).bits;
  const uint32_t exponent = Most(magnitude >> 23, 113u);  // 113 is that of 2^-14.
  const uint32_t significand = (magnitude & 0x007fffffu) | 0x00800000u;
  const uint32_t dropped_bits = 126u - Least(magnitude >> 23, 113u);  // 13 to 126.
  const uint32_t kept = dropped_bits < 32u ? significand >> dropped_bits : 0u;
  const uint32_t chance = dropped_bits < 32u ? significand << (32u - dropped_bits) >> 1
                                             : significand >> Least(dropped_bits - 31u, 31u);
  // May carry into the exponent, as it should. Of a normal number, `kept` has the leading one.
  return sign | (((exponent - 113u) << 10) + kept + (random >> 1 < chance ? 1u : 0u));
}

TF_MAVG_INLINE void NarrowStochastically(float wide, uint32_t random, Bfloat16* narrow) {
  narrow->bits = static_cast<uint16_t>(BitsOfBfloat16(BitsOfFloat(wide), random) >> 16);
}

TF_MAVG_INLINE void NarrowStochastically(float wide, uint32_t random, Float16* narrow) {
  narrow->bits = static_cast<uint16_t>(BitsOfFloat16(BitsOfFloat(wide), random));
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_FORMULAS_STOCHASTIC_ROUNDING_H_
