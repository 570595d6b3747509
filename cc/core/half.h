// float16 and bfloat16 as they lie in memory, and their exact conversions in portable C++.
//
// Narrowing rounds to nearest, ties to even, and keeps infinities. A NaN becomes quiet and keeps
// its sign and the upper bits of its payload, as the F16C and AVX-512 instructions do; so every
// instruction level gives the same bits. Always inlined, see portability.h.

#ifndef TF_MAVG_CC_CORE_HALF_H_
#define TF_MAVG_CC_CORE_HALF_H_

#include <cstdint>

#include "cc/core/portability.h"

namespace tf_mavg {

struct Float16 {
  uint16_t bits;
};

struct Bfloat16 {
  uint16_t bits;
};

TF_MAVG_INLINE float FloatOfBits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

TF_MAVG_INLINE uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

TF_MAVG_INLINE float Widen(Bfloat16 value) {
  return FloatOfBits(static_cast<uint32_t>(value.bits) << 16);
}

TF_MAVG_INLINE Bfloat16 NarrowToBfloat16(float value) {
  const uint32_t bits = BitsOfFloat(value);
  const uint32_t quiet_nan = (bits >> 16) | 0x0040u;
  // Adding just under half of the last kept bit, and that bit itself, rounds ties to even.
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return Bfloat16{static_cast<uint16_t>(is_nan ? quiet_nan : rounded)};
}

TF_MAVG_INLINE float Widen(Float16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t exponent = value.bits & 0x7c00u;
  const uint32_t fraction = value.bits & 0x03ffu;
  if (exponent == 0x7c00u) {  // Infinity, or a NaN made quiet.
    const uint32_t quiet = fraction != 0 ? 0x00400000u : 0u;
    return FloatOfBits(sign | 0x7f800000u | (fraction << 13) | quiet);
  }
  if (exponent == 0) {  // Zero or subnormal: a multiple of 2^-24, always a normal float32.
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return FloatOfBits(sign | BitsOfFloat(magnitude));
  }
  // 112 is the difference of the exponents' biases, 127 - 15.
  return FloatOfBits(sign | (((exponent | fraction) << 13) + (112u << 23)));
}

TF_MAVG_INLINE Float16 NarrowToFloat16(float value) {
  const uint32_t bits = BitsOfFloat(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t narrow;
  if (magnitude > 0x7f800000u) {
    narrow = 0x7e00u | ((magnitude >> 13) & 0x03ffu);
  } else if (magnitude >= 0x47800000u) {  // 65536 and above, infinity.
    narrow = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // Below 2^-14: subnormal or zero.
    // The unit in the last place of [0.5, 1) is 2^-24, a float16 subnormal's unit: the addition
    // rounds to a multiple of it, ties to even, and leaves that multiple in the low bits.
    narrow = BitsOfFloat(FloatOfBits(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    // May carry into the exponent, and from 65520 up into infinity: both as they should.
    narrow = (magnitude + 0x0fffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  }
  return Float16{static_cast<uint16_t>(sign | narrow)};
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_HALF_H_
