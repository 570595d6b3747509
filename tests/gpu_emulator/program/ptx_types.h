// PTX's fundamental types, and how a lane's 64-bit register holds a value of each.
//
// A type class has kType, Value (what C++ computes with), Load and Store. Load takes the low bytes;
// Store extends to 64 bits, by the sign for signed integers, so that a narrow result may be read
// from a wider register. Floating-point Store rounds once, from double for the 16-bit types.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace gpu_emulator {

enum class Type : uint8_t {
  kNone,
  kPred,
  kB8,
  kB16,
  kB32,
  kB64,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBf16,
  kBf16x2,
  kF32,
  kF64,
};

template <class To, class From>
To BitCast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <Type type, class Integer>
struct IntegerType {
  static constexpr Type kType = type;
  using Value = Integer;
  static Value Load(uint64_t bits) { return static_cast<Value>(bits); }
  static uint64_t Store(Value value) { return static_cast<uint64_t>(static_cast<int64_t>(value)); }
};
// Zero-extended: the conversion to int64_t keeps an unsigned value below 2^63 and all bits above.
using B8 = IntegerType<Type::kB8, uint8_t>;
using B16 = IntegerType<Type::kB16, uint16_t>;
using B32 = IntegerType<Type::kB32, uint32_t>;
using B64 = IntegerType<Type::kB64, uint64_t>;
using U8 = IntegerType<Type::kU8, uint8_t>;
using U16 = IntegerType<Type::kU16, uint16_t>;
using U32 = IntegerType<Type::kU32, uint32_t>;
using U64 = IntegerType<Type::kU64, uint64_t>;
using S8 = IntegerType<Type::kS8, int8_t>;
using S16 = IntegerType<Type::kS16, int16_t>;
using S32 = IntegerType<Type::kS32, int32_t>;
using S64 = IntegerType<Type::kS64, int64_t>;

struct Pred {
  static constexpr Type kType = Type::kPred;
  using Value = bool;
  static Value Load(uint64_t bits) { return bits != 0; }
  static uint64_t Store(Value value) { return value; }
};

struct F32 {
  static constexpr Type kType = Type::kF32;
  using Value = float;
  static Value Load(uint64_t bits) { return BitCast<float>(static_cast<uint32_t>(bits)); }
  // NVIDIA GPUs give every NaN that an f32 operation produces this one pattern.
  static uint64_t Store(Value value) {
    return value != value ? 0x7fffffff : BitCast<uint32_t>(value);
  }
};

// f32 of an instruction with .ftz: subnormal numbers count as zeros of their sign, in and out.
struct F32Flushed {
  static constexpr Type kType = Type::kF32;
  using Value = float;
  static uint64_t Flush(uint64_t bits) {
    return (bits & 0x7f800000) == 0 ? bits & 0x80000000 : bits;
  }
  static Value Load(uint64_t bits) { return F32::Load(Flush(bits)); }
  static uint64_t Store(Value value) { return Flush(F32::Store(value)); }
};

struct F64 {
  static constexpr Type kType = Type::kF64;
  using Value = double;
  static Value Load(uint64_t bits) { return BitCast<double>(bits); }
  static uint64_t Store(Value value) { return BitCast<uint64_t>(value); }
};

// The float next to `value` whose last bit is set unless the conversion is exact: rounding that
// once more, to at most 22 bits, gives what rounding `value` directly would.
inline float RoundToOdd(double value) {
  const auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || value != value) return nearest;
  auto bits = BitCast<uint32_t>(nearest);
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value))
    --bits;  // truncated, also from inf
  return BitCast<float>(bits | 1);
}

struct F16 {
  static constexpr Type kType = Type::kF16;
  using Value = double;  // add, sub and mul of two and fma of three f16 values round once from it
  static Value Load(uint64_t bits) {
    const auto magnitude = static_cast<uint32_t>(bits & 0x7fff);
    const auto sign = static_cast<uint32_t>(bits & 0x8000) << 16;
    // Exponent field moved to f32's place; the product with 2^112 corrects the bias, and makes
    // subnormal numbers normal. Infinity and NaN keep the largest exponent.
    const float scaled = BitCast<float>(magnitude << 13) * 0x1p112f;
    const uint32_t wide =
        magnitude >= 0x7c00 ? 0x7f800000 | magnitude << 13 : BitCast<uint32_t>(scaled);
    return BitCast<float>(wide | sign);
  }
  static uint64_t Store(Value value) {
    if (value != value) return 0x7fff;
    const float odd = RoundToOdd(value);
    const auto sign = BitCast<uint32_t>(odd) >> 16 & 0x8000;
    const float magnitude = std::fabs(odd);
    if (magnitude >= 65520.0f) return sign | 0x7c00;
    if (magnitude < 0x1p-14f) {  // subnormal: the sum's last bit is f16's
      return sign | (BitCast<uint32_t>(magnitude + 0.5f) - 0x3f000000);
    }
    const auto bits = BitCast<uint32_t>(magnitude) - (112u << 23);
    return sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13;
  }
};

struct Bf16 {
  static constexpr Type kType = Type::kBf16;
  using Value = double;
  static Value Load(uint64_t bits) { return BitCast<float>(static_cast<uint32_t>(bits) << 16); }
  static uint64_t Store(Value value) {
    if (value != value) return 0x7fff;
    const auto bits = BitCast<uint32_t>(RoundToOdd(value));
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  }
};

}  // namespace gpu_emulator
