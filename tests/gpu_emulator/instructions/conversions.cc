// cvt mov cvta: values between types, bits between registers, addresses between spaces.

#include <cmath>
#include <limits>

#include "instructions/decoder.h"

namespace gpu_emulator {
namespace {

using Integers = Types<U8, U16, U32, U64, S8, S16, S32, S64>;
using Floats = Types<F16, Bf16, F32, F64>;

// To an integral value: .rni, .rzi, .rmi, .rpi.
enum Rounding { kNearest, kTowardsZero, kDown, kUp };

double RoundIntegral(double value, int64_t rounding) {
  switch (rounding) {
    case kNearest:
      return std::nearbyint(value);
    case kTowardsZero:
      return std::trunc(value);
    case kDown:
      return std::floor(value);
    default:
      return std::ceil(value);
  }
}

// An integer takes the low bits of another, after extension by the source's sign.
template <class From>
struct FromInteger {
  template <class To>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      warp.Set<To>(i.d, lane, static_cast<typename To::Value>(warp.Get<From>(i.a, lane)));
    });
  }
};

// Out of range goes to the nearest end of the range, NaN to zero.
template <class From>
struct FloatToInteger {
  template <class To>
  static void Run(Warp& warp, const Instruction& i) {
    using V = typename To::Value;
    using Limits = std::numeric_limits<V>;
    constexpr double kAbove = 2.0 * (Limits::max() / 2 + 1);  // the first number that is too large
    warp.ForEachLane([&](int lane) {
      const double value = RoundIntegral(warp.Get<From>(i.a, lane), i.immediate);
      V result = 0;
      if (value >= kAbove) {
        result = Limits::max();
      } else if (value < static_cast<double>(Limits::min())) {
        result = Limits::min();
      } else if (value == value) {
        result = static_cast<V>(value);
      }
      warp.Set<To>(i.d, lane, result);
    });
  }
};

template <class From>
struct FloatToFloat {
  template <class To>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      warp.Set<To>(i.d, lane, static_cast<typename To::Value>(warp.Get<From>(i.a, lane)));
    });
  }
};

// f32 to f16 towards zero: the nearest, or its neighbour below in magnitude.
struct TruncatedToF16 {
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      const double value = warp.Get<F32>(i.a, lane);
      uint64_t bits = F16::Store(value);
      if (std::abs(F16::Load(bits)) > std::abs(value)) --bits;
      warp.Bits(i.d, lane) = bits;
    });
  }
};

struct Integral {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      const double value = RoundIntegral(warp.Get<T>(i.a, lane), i.immediate);
      warp.Set<T>(i.d, lane, static_cast<typename T::Value>(value));
    });
  }
};

// Two f32 values into one register: a above b.
struct Pack {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      const uint64_t high = T::Half::Store(warp.Get<F32>(i.a, lane));
      warp.Bits(i.d, lane) = high << 16 | T::Half::Store(warp.Get<F32>(i.b, lane));
    });
  }
};

struct F16x2 {
  static constexpr Type kType = Type::kF16x2;
  using Half = F16;
};

struct Bf16x2 {
  static constexpr Type kType = Type::kBf16x2;
  using Half = Bf16;
};

bool IsFloat(Type type) { return type >= Type::kF16; }

// Converter<From>::Run<To>, chosen by both types.
template <template <class> class Converter, class... From, class ToTypes>
Execute ChooseBoth(InstructionReader& reader, Types<From...>, ToTypes to_types) {
  Execute execute = nullptr;
  ((From::kType == reader.type(1)
        ? void(execute = reader.Choose<Converter<From>>(reader.type(0), to_types))
        : void()),
   ...);
  if (execute == nullptr) reader.Fail("its source type is not supported");
  return execute;
}

Execute ChooseConversion(InstructionReader& reader, Instruction& i) {
  const Type to = reader.type(0);
  const Type from = reader.type(1);
  const bool flush = reader.TakeModifier("ftz");
  if (flush && to != Type::kF32 && from != Type::kF32) reader.Fail(".ftz is for f32");
  if (!IsFloat(from)) {
    if (!IsFloat(to)) return ChooseBoth<FromInteger>(reader, Integers(), Integers());
    reader.NeedModifier("rn");
    return ChooseBoth<FromInteger>(reader, Integers(), Types<F32, F64>());
  }
  if (!IsFloat(to) || to == from) {
    i.immediate = reader.TakeOneOf({"rni", "rzi", "rmi", "rpi"});
    if (i.immediate < 0) reader.Fail("a rounding is needed");
    if (to == from && flush) return reader.Choose<Integral>(to, Types<F32Flushed>());
    if (to == from) return reader.Choose<Integral>(to, Types<F32, F64>());
    if (flush) return ChooseBoth<FloatToInteger>(reader, Types<F32Flushed>(), Integers());
    return ChooseBoth<FloatToInteger>(reader, Types<F32, F64>(), Integers());
  }
  if (BytesOf(to) == BytesOf(from)) reader.Fail("its types are not supported");
  if (to == Type::kF16 && from == Type::kF32 && !flush && reader.TakeModifier("rz")) {
    return TruncatedToF16::Run;
  }
  if (BytesOf(to) < BytesOf(from)) reader.NeedModifier("rn");
  if (!flush) return ChooseBoth<FloatToFloat>(reader, Floats(), Floats());
  if (from == Type::kF32) return ChooseBoth<FloatToFloat>(reader, Types<F32Flushed>(), Floats());
  return ChooseBoth<FloatToFloat>(reader, Floats(), Types<F32Flushed>());
}

void DecodeCvt(InstructionReader& reader, Instruction& i) {
  const Type to = reader.type(0);
  if (to == Type::kF16x2 || to == Type::kBf16x2) {
    reader.NeedModifier("rn");
    if (reader.type(1) != Type::kF32) reader.Fail("its source type is not supported");
    i.execute = reader.Choose<Pack>(to, Types<F16x2, Bf16x2>());
    reader.Operands(&i.d, {&i.a, &i.b});
    return;
  }
  i.execute = ChooseConversion(reader, i);
  reader.Operands(&i.d, {&i.a});
}

void Move(Warp& warp, const Instruction& i) {
  warp.ForEachLane([&](int lane) { warp.Bits(i.d, lane) = warp.Bits(i.a, lane); });
}

// One register from several, the first lowest, and back; T is the element's type.
struct Gather {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    constexpr int kWidth = 8 * sizeof(typename T::Value);
    warp.ForEachLane([&](int lane) {
      uint64_t whole = 0;
      for (int n = 0; n < i.count; ++n) {
        whole |= uint64_t{warp.Get<T>(i.vector[n], lane)} << (n * kWidth);
      }
      warp.Bits(i.d, lane) = whole;
    });
  }
};

struct Scatter {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    constexpr int kWidth = 8 * sizeof(typename T::Value);
    warp.ForEachLane([&](int lane) {
      const uint64_t whole = warp.Bits(i.a, lane);
      for (int n = 0; n < i.count; ++n) {
        warp.Set<T>(i.vector[n], lane, static_cast<typename T::Value>(whole >> (n * kWidth)));
      }
    });
  }
};

Type ElementType(InstructionReader& reader, uint8_t count) {
  const uint32_t bytes = BytesOf(reader.type()) / count;
  if (reader.type() != Type::kB32 && reader.type() != Type::kB64) reader.Fail("needs .b32 or .b64");
  return bytes == 1 ? Type::kB8 : bytes == 2 ? Type::kB16 : Type::kB32;
}

void DecodeMov(InstructionReader& reader, Instruction& i) {
  using Elements = Types<B8, B16, B32>;
  if (reader.NextIsBrace()) {
    reader.Vector(i, /*destinations=*/true);
    reader.Comma();
    i.a = reader.Source();
    i.execute = reader.Choose<Scatter>(ElementType(reader, i.count), Elements());
    return;
  }
  i.d = reader.Destination();
  reader.Comma();
  if (reader.NextIsBrace()) {
    reader.Vector(i, /*destinations=*/false);
    i.execute = reader.Choose<Gather>(ElementType(reader, i.count), Elements());
    return;
  }
  if (reader.type() == Type::kNone) reader.Fail("its type is not supported");
  i.a = reader.Source();
  i.execute = Move;
}

// Between an address of a space and the generic one; instruction.immediate is the space's window.
void ToGeneric(Warp& warp, const Instruction& i) {
  warp.ForEachLane([&](int lane) {
    warp.Bits(i.d, lane) = warp.Bits(i.a, lane) | static_cast<uint64_t>(i.immediate);
  });
}

void FromGeneric(Warp& warp, const Instruction& i) {
  warp.ForEachLane([&](int lane) {
    const uint64_t address = warp.Bits(i.a, lane);
    const auto window = static_cast<uint64_t>(i.immediate);
    if ((address & kWindowMask) != window) warp.Fail("the address is of another space", lane);
    warp.Bits(i.d, lane) = address & ~kWindowMask;
  });
}

void DecodeCvta(InstructionReader& reader, Instruction& i) {
  constexpr uint64_t kWindows[] = {0, 0, kParamWindow, kSharedWindow, kLocalWindow};
  i.execute = reader.TakeModifier("to") ? FromGeneric : ToGeneric;
  const Space space = reader.TakeSpace();
  if (space == Space::kGeneric) reader.Fail("a space is needed");
  if (reader.type() != Type::kU64) reader.Fail("its type is not supported");
  i.immediate = static_cast<int64_t>(kWindows[static_cast<int>(space)]);
  reader.Operands(&i.d, {&i.a});
}

}  // namespace

const InstructionSet& Conversions() {
  static const InstructionSet& set =
      *new InstructionSet{{"cvt", DecodeCvt}, {"mov", DecodeMov}, {"cvta", DecodeCvta}};
  return set;
}

}  // namespace gpu_emulator
