// add sub mul mad div rem min max neg abs fma sqrt rsqrt rcp: integers wrap (-fwrapv), floating
// point rounds to nearest even. The .approx forms give the correctly rounded result, which is
// within a GPU's error but not its bits.

#include <cmath>

#include "instructions/decoder.h"

namespace gpu_emulator {
namespace {

using Integers = Types<S16, U16, S32, U32, S64, U64>;
using WideIntegers = Types<S32, U32, S64, U64>;  // div, rem, min, max
using SignedNumbers = Types<S32, S64, F32, F64>;

struct Add {
  template <class V>
  V operator()(V a, V b) const {
    return static_cast<V>(a + b);
  }
};

struct Subtract {
  template <class V>
  V operator()(V a, V b) const {
    return static_cast<V>(a - b);
  }
};

struct Multiply {
  template <class V>
  V operator()(V a, V b) const {
    return static_cast<V>(a * b);
  }
};

struct MultiplyHigh {
  template <class V>
  V operator()(V a, V b) const {
    using Wide = std::conditional_t<std::is_signed_v<V>, __int128, unsigned __int128>;
    return static_cast<V>(static_cast<Wide>(a) * b >> (8 * sizeof(V)));
  }
};

struct MultiplyAdd {
  template <class V>
  V operator()(V a, V b, V c) const {
    return static_cast<V>(a * b + c);
  }
};

struct FusedMultiplyAdd {
  template <class V>
  V operator()(V a, V b, V c) const {
    return std::fma(a, b, c);
  }
};

// PTX leaves division by zero open; all ones is what the machine code of NVIDIA's compiler gives.
struct Divide {
  template <class V>
  V operator()(V a, V b) const {
    if constexpr (std::is_integral_v<V>) {
      if (b == 0) return static_cast<V>(-1);
      if (std::is_signed_v<V> && b == static_cast<V>(-1)) return static_cast<V>(0 - a);
    }
    return a / b;
  }
};

struct Remainder {
  template <class V>
  V operator()(V a, V b) const {
    if (b == 0) return a;
    if (std::is_signed_v<V> && b == static_cast<V>(-1)) return 0;
    return a % b;
  }
};

struct Minimum {
  template <class V>
  V operator()(V a, V b) const {
    return a < b ? a : b;
  }
};

struct Maximum {
  template <class V>
  V operator()(V a, V b) const {
    return a > b ? a : b;
  }
};

// f64: a GPU's neg and abs pass NaN through.
struct Negate {
  template <class V>
  V operator()(V a) const {
    if constexpr (std::is_same_v<V, double>) return a != a ? a : -a;
    return -a;
  }
};

struct Absolute {
  template <class V>
  V operator()(V a) const {
    if constexpr (std::is_same_v<V, double>) return a != a ? a : std::fabs(a);
    if constexpr (std::is_same_v<V, float>) return std::fabs(a);
    return a < 0 ? -a : a;
  }
};

struct SquareRoot {
  template <class V>
  V operator()(V a) const {
    return std::sqrt(a);
  }
};

struct Reciprocal {
  template <class V>
  V operator()(V a) const {
    return 1 / a;
  }
};

struct ReciprocalSquareRoot {
  double operator()(double a) const { return 1 / std::sqrt(a); }
};

// Two f16 values in one register.
template <class Operation>
struct Packed {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      const uint64_t a = warp.Bits(i.a, lane);
      const uint64_t b = warp.Bits(i.b, lane);
      const uint64_t low = F16::Store(Operation()(F16::Load(a), F16::Load(b)));
      const uint64_t high = F16::Store(Operation()(F16::Load(a >> 16), F16::Load(b >> 16)));
      warp.Bits(i.d, lane) = high << 16 | low;
    });
  }
};

struct F16x2 {
  static constexpr Type kType = Type::kF16x2;
};

// d = a * b, or a * b + c, with a result of twice the width.
template <bool add>
struct MultiplyWide {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      const auto product = static_cast<int64_t>(warp.Get<T>(i.a, lane)) * warp.Get<T>(i.b, lane);
      const uint64_t addend = add ? warp.Bits(i.c, lane) : 0;
      warp.Bits(i.d, lane) = static_cast<uint64_t>(product) + addend;
    });
  }
};

bool IsFloat(Type type) { return type >= Type::kF16; }

// Handler for the floating-point types, with .ftz for f32 alone.
template <class Handler>
Execute ChooseFloat(InstructionReader& reader) {
  if (reader.TakeModifier("ftz")) return reader.Choose<Handler>(reader.type(), Types<F32Flushed>());
  return reader.Choose<Handler>(reader.type(), Types<F32, F64>());
}

template <class Operation>
Execute ChooseSum(InstructionReader& reader) {
  const Type type = reader.type();
  if (!IsFloat(type)) return reader.Choose<Binary<Operation>>(type, Integers());
  reader.TakeModifier("rn");
  if (type == Type::kF16) return reader.Choose<Binary<Operation>>(type, Types<F16>());
  if (type == Type::kF16x2) return reader.Choose<Packed<Operation>>(type, Types<F16x2>());
  return ChooseFloat<Binary<Operation>>(reader);
}

template <class Operation>
void DecodeSum(InstructionReader& reader, Instruction& i) {
  i.execute = ChooseSum<Operation>(reader);
  reader.Operands(&i.d, {&i.a, &i.b});
}

void DecodeMul(InstructionReader& reader, Instruction& i) {
  const Type type = reader.type();
  const int part = IsFloat(type) ? 0 : reader.TakeOneOf({"lo", "hi", "wide"});
  if (part == 0) i.execute = ChooseSum<Multiply>(reader);
  if (part == 1) i.execute = reader.Choose<Binary<MultiplyHigh>>(type, WideIntegers());
  if (part == 2) i.execute = reader.Choose<MultiplyWide<false>>(type, Types<S16, U16, S32, U32>());
  if (part < 0) reader.Fail("one of .lo, .hi and .wide is needed");
  reader.Operands(&i.d, {&i.a, &i.b});
}

void DecodeMad(InstructionReader& reader, Instruction& i) {
  if (reader.TakeModifier("wide")) {
    i.execute = reader.Choose<MultiplyWide<true>>(reader.type(), Types<S32, U32>());
  } else {
    reader.NeedModifier("lo");
    i.execute = reader.Choose<Ternary<MultiplyAdd>>(reader.type(), Integers());
  }
  reader.Operands(&i.d, {&i.a, &i.b, &i.c});
}

void DecodeDiv(InstructionReader& reader, Instruction& i) {
  if (IsFloat(reader.type())) {
    reader.NeedModifier("rn");
    i.execute = ChooseFloat<Binary<Divide>>(reader);
  } else {
    i.execute = reader.Choose<Binary<Divide>>(reader.type(), WideIntegers());
  }
  reader.Operands(&i.d, {&i.a, &i.b});
}

template <class Operation>
void DecodeInteger(InstructionReader& reader, Instruction& i) {
  i.execute = reader.Choose<Binary<Operation>>(reader.type(), WideIntegers());
  reader.Operands(&i.d, {&i.a, &i.b});
}

template <class Operation>
void DecodeSign(InstructionReader& reader, Instruction& i) {
  if (reader.TakeModifier("ftz")) {
    i.execute = reader.Choose<Unary<Operation>>(reader.type(), Types<F32Flushed>());
  } else {
    i.execute = reader.Choose<Unary<Operation>>(reader.type(), SignedNumbers());
  }
  reader.Operands(&i.d, {&i.a});
}

void DecodeFma(InstructionReader& reader, Instruction& i) {
  reader.NeedModifier("rn");
  i.execute = ChooseFloat<Ternary<FusedMultiplyAdd>>(reader);
  reader.Operands(&i.d, {&i.a, &i.b, &i.c});
}

// sqrt and rcp: .rn for f32 and f64, .approx for f32.
template <class Operation>
void DecodeRoot(InstructionReader& reader, Instruction& i) {
  if (!reader.TakeModifier("approx")) {
    reader.NeedModifier("rn");
  } else if (reader.type() != Type::kF32) {
    reader.Fail(".approx is for f32");
  }
  i.execute = ChooseFloat<Unary<Operation>>(reader);
  reader.Operands(&i.d, {&i.a});
}

void DecodeRsqrt(InstructionReader& reader, Instruction& i) {
  if (reader.type() != Type::kF32) reader.Fail("its type is not supported");
  reader.NeedModifier("approx");
  i.execute = ChooseFloat<Unary<ReciprocalSquareRoot>>(reader);
  reader.Operands(&i.d, {&i.a});
}

}  // namespace

const InstructionSet& Arithmetic() {
  static const InstructionSet& set = *new InstructionSet{
      {"add", DecodeSum<Add>},
      {"sub", DecodeSum<Subtract>},
      {"mul", DecodeMul},
      {"mad", DecodeMad},
      {"div", DecodeDiv},
      {"rem", DecodeInteger<Remainder>},
      {"min", DecodeInteger<Minimum>},
      {"max", DecodeInteger<Maximum>},
      {"neg", DecodeSign<Negate>},
      {"abs", DecodeSign<Absolute>},
      {"fma", DecodeFma},
      {"sqrt", DecodeRoot<SquareRoot>},
      {"rcp", DecodeRoot<Reciprocal>},
      {"rsqrt", DecodeRsqrt},
  };
  return set;
}

}  // namespace gpu_emulator
