// and or xor not shl shr prmt setp selp: bits, comparisons and choices.

#include <algorithm>

#include "instructions/decoder.h"

namespace gpu_emulator {
namespace {

using Bits = Types<Pred, B16, B32, B64>;

struct And {
  template <class V>
  V operator()(V a, V b) const {
    return static_cast<V>(a & b);
  }
};

struct Or {
  template <class V>
  V operator()(V a, V b) const {
    return static_cast<V>(a | b);
  }
};

struct ExclusiveOr {
  template <class V>
  V operator()(V a, V b) const {
    return static_cast<V>(a ^ b);
  }
};

struct Not {
  bool operator()(bool a) const { return !a; }
  template <class V>
  V operator()(V a) const {
    return static_cast<V>(~a);
  }
};

// The amount of a shift is an unsigned 32-bit number, and not taken modulo the width.
struct ShiftLeft {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    constexpr uint32_t kWidth = 8 * sizeof(typename T::Value);
    warp.ForEachLane([&](int lane) {
      const uint32_t amount = warp.Get<U32>(i.b, lane);
      const auto shifted = amount < kWidth ? uint64_t{warp.Get<T>(i.a, lane)} << amount : 0;
      warp.Set<T>(i.d, lane, static_cast<typename T::Value>(shifted));
    });
  }
};

struct ShiftRight {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    constexpr uint32_t kLast = 8 * sizeof(typename T::Value) - 1;
    warp.ForEachLane([&](int lane) {
      const uint32_t amount = warp.Get<U32>(i.b, lane);
      const auto value =
          static_cast<typename T::Value>(warp.Get<T>(i.a, lane) >> std::min(amount, kLast));
      const bool empty = amount > kLast && std::is_unsigned_v<typename T::Value>;
      warp.Set<T>(i.d, lane, empty ? 0 : value);
    });
  }
};

// Four bytes chosen from the eight of b and a; bit 3 of a choice repeats the byte's sign.
void Permute(Warp& warp, const Instruction& i) {
  warp.ForEachLane([&](int lane) {
    const uint64_t bytes = uint64_t{warp.Get<B32>(i.b, lane)} << 32 | warp.Get<B32>(i.a, lane);
    const uint32_t choices = warp.Get<B32>(i.c, lane);
    uint32_t result = 0;
    for (int n = 0; n < 4; ++n) {
      const uint32_t choice = choices >> (4 * n) & 15;
      const auto byte = static_cast<uint8_t>(bytes >> (8 * (choice & 7)));
      const uint8_t chosen = choice < 8 ? byte : byte & 0x80 ? 0xff : 0;
      result |= uint32_t{chosen} << (8 * n);
    }
    warp.Set<B32>(i.d, lane, result);
  });
}

// Instruction.immediate of setp: which of less, equal, greater and unordered make it true, then how
// the result is combined with the predicate c.
enum Outcome { kLess = 1, kEqual = 2, kGreater = 4, kUnordered = 8 };
enum Combination { kReplace = 0x00, kAnd = 0x10, kOr = 0x20, kXor = 0x30, kNegated = 0x40 };

bool Combine(bool result, bool other, int64_t combination) {
  switch (combination & 0x30) {
    case kAnd:
      return result && other;
    case kOr:
      return result || other;
    case kXor:
      return result != other;
    default:
      return result;
  }
}

struct Compare {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      const auto a = warp.Get<T>(i.a, lane);
      const auto b = warp.Get<T>(i.b, lane);
      const int outcome = a < b ? kLess : a == b ? kEqual : a > b ? kGreater : kUnordered;
      const bool result = (i.immediate & outcome) != 0;
      if (i.immediate < kAnd) {
        warp.Set<Pred>(i.d, lane, result);
        if (i.d2 != kNoSlot) warp.Set<Pred>(i.d2, lane, !result);
        return;
      }
      const bool other = warp.Get<Pred>(i.c, lane) != ((i.immediate & kNegated) != 0);
      warp.Set<Pred>(i.d, lane, Combine(result, other, i.immediate));
      if (i.d2 != kNoSlot) warp.Set<Pred>(i.d2, lane, Combine(!result, other, i.immediate));
    });
  }
};

struct Select {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      warp.Bits(i.d, lane) = warp.Bits(warp.Get<Pred>(i.c, lane) ? i.a : i.b, lane);
    });
  }
};

template <class Operation>
void DecodeBits(InstructionReader& reader, Instruction& i) {
  i.execute = reader.Choose<Binary<Operation>>(reader.type(), Bits());
  reader.Operands(&i.d, {&i.a, &i.b});
}

void DecodeNot(InstructionReader& reader, Instruction& i) {
  i.execute = reader.Choose<Unary<Not>>(reader.type(), Bits());
  reader.Operands(&i.d, {&i.a});
}

void DecodeShl(InstructionReader& reader, Instruction& i) {
  i.execute = reader.Choose<ShiftLeft>(reader.type(), Types<B16, B32, B64>());
  reader.Operands(&i.d, {&i.a, &i.b});
}

void DecodeShr(InstructionReader& reader, Instruction& i) {
  i.execute = reader.Choose<ShiftRight>(reader.type(),
                                        Types<B16, B32, B64, U16, U32, U64, S16, S32, S64>());
  reader.Operands(&i.d, {&i.a, &i.b});
}

void DecodePrmt(InstructionReader& reader, Instruction& i) {
  if (reader.type() != Type::kB32) reader.Fail("its type is not supported");
  i.execute = Permute;
  reader.Operands(&i.d, {&i.a, &i.b, &i.c});
}

void DecodeSetp(InstructionReader& reader, Instruction& i) {
  constexpr int kOutcomes[] = {
      kEqual,
      kLess | kGreater,
      kLess,
      kLess | kEqual,
      kGreater,
      kGreater | kEqual,
      kEqual | kUnordered,
      kLess | kGreater | kUnordered,
      kLess | kUnordered,
      kLess | kEqual | kUnordered,
      kGreater | kUnordered,
      kGreater | kEqual | kUnordered,
      kLess | kEqual | kGreater,
      kUnordered,
  };
  const int comparison = reader.TakeOneOf(
      {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  if (comparison < 0) reader.Fail("its comparison is not supported");
  i.immediate = kOutcomes[comparison];
  const int combination = reader.TakeOneOf({"and", "or", "xor"});
  i.immediate |= 0x10 * (combination + 1);
  if (reader.TakeModifier("ftz")) {
    i.execute = reader.Choose<Compare>(reader.type(), Types<F32Flushed>());
  } else if (comparison < 6) {
    i.execute = reader.Choose<Compare>(
        reader.type(), Types<B16, B32, B64, U16, U32, U64, S16, S32, S64, F32, F64>());
  } else {
    i.execute = reader.Choose<Compare>(reader.type(), Types<F32, F64>());
  }
  i.d = reader.Destination();
  if (reader.TakeIf("|")) i.d2 = reader.Destination();
  for (int32_t* source : {&i.a, &i.b}) {
    reader.Comma();
    *source = reader.Source();
  }
  if (combination >= 0) {
    bool negated = false;
    reader.Comma();
    i.c = reader.SourcePredicate(&negated);
    if (negated) i.immediate |= kNegated;
  }
}

void DecodeSelp(InstructionReader& reader, Instruction& i) {
  i.execute = reader.Choose<Select>(reader.type(),
                                    Types<B16, B32, B64, U16, U32, U64, S16, S32, S64, F32, F64>());
  reader.Operands(&i.d, {&i.a, &i.b, &i.c});
}

}  // namespace

const InstructionSet& Logic() {
  static const InstructionSet& set = *new InstructionSet{
      {"and", DecodeBits<And>}, {"or", DecodeBits<Or>}, {"xor", DecodeBits<ExclusiveOr>},
      {"not", DecodeNot},       {"shl", DecodeShl},     {"shr", DecodeShr},
      {"prmt", DecodePrmt},     {"setp", DecodeSetp},   {"selp", DecodeSelp},
  };
  return set;
}

}  // namespace gpu_emulator
