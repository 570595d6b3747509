// ld st atom. Every lane's access is checked by Warp::Locate. Cache hints change no value, so they
// are accepted; .volatile, too, since the emulator keeps nothing in registers.

#include <cstring>
#include <mutex>

#include "instructions/decoder.h"

namespace gpu_emulator {
namespace {

using Loaded = Types<B8, B16, B32, B64, U8, U16, U32, U64, S8, S16, S32, S64>;
using Stored = Types<B8, B16, B32, B64>;

template <Space space>
struct Load {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    using V = typename T::Value;
    warp.ForEachLane([&](int lane) {
      const uint64_t address = warp.Bits(i.a, lane) + static_cast<uint64_t>(i.immediate);
      const std::byte* data = warp.Locate(space, address, sizeof(V) * i.count, lane);
      for (int n = 0; n < i.count; ++n) {
        V value;
        std::memcpy(&value, data + n * sizeof(V), sizeof(V));
        warp.Set<T>(i.vector[n], lane, value);
      }
    });
  }
};

template <Space space>
struct Store {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    using V = typename T::Value;
    warp.ForEachLane([&](int lane) {
      const uint64_t address = warp.Bits(i.a, lane) + static_cast<uint64_t>(i.immediate);
      std::byte* data = warp.Locate(space, address, sizeof(V) * i.count, lane);
      for (int n = 0; n < i.count; ++n) {
        const V value = warp.Get<T>(i.vector[n], lane);
        std::memcpy(data + n * sizeof(V), &value, sizeof(V));
      }
    });
  }
};

std::mutex& AtomicsLock() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

// d = [a]; [a] += b, one lane after the other and one host thread at a time.
template <Space space>
struct AtomicAdd {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    using V = typename T::Value;
    const std::lock_guard<std::mutex> lock(AtomicsLock());
    warp.ForEachLane([&](int lane) {
      const uint64_t address = warp.Bits(i.a, lane) + static_cast<uint64_t>(i.immediate);
      std::byte* data = warp.Locate(space, address, sizeof(V), lane);
      uint64_t bits = 0;
      std::memcpy(&bits, data, sizeof(V));
      const uint64_t sum = T::Store(static_cast<V>(T::Load(bits) + warp.Get<T>(i.b, lane)));
      std::memcpy(data, &sum, sizeof(V));
      warp.Bits(i.d, lane) = bits;
    });
  }
};

// d = [a]; [a] = b, as above.
template <Space space>
struct AtomicExchange {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    const std::lock_guard<std::mutex> lock(AtomicsLock());
    warp.ForEachLane([&](int lane) {
      const uint64_t address = warp.Bits(i.a, lane) + static_cast<uint64_t>(i.immediate);
      std::byte* data = warp.Locate(space, address, sizeof(typename T::Value), lane);
      const typename T::Value value = warp.Get<T>(i.b, lane);
      typename T::Value old;
      std::memcpy(&old, data, sizeof old);
      std::memcpy(data, &value, sizeof value);
      warp.Set<T>(i.d, lane, old);
    });
  }
};

// Handler<space>::Run<T>.
template <template <Space> class Handler, class T>
Execute ChooseInSpace(InstructionReader& reader, Space space, Type type, T types) {
  switch (space) {
    case Space::kGlobal:
      return reader.Choose<Handler<Space::kGlobal>>(type, types);
    case Space::kParam:
      return reader.Choose<Handler<Space::kParam>>(type, types);
    case Space::kShared:
      return reader.Choose<Handler<Space::kShared>>(type, types);
    case Space::kLocal:
      return reader.Choose<Handler<Space::kLocal>>(type, types);
    default:
      return reader.Choose<Handler<Space::kGeneric>>(type, types);
  }
}

void TakeWidth(InstructionReader& reader, Instruction& i) {
  const int width = reader.TakeOneOf({"v2", "v4"});
  i.count = width < 0 ? 1 : width == 0 ? 2 : 4;
}

void CheckWidth(InstructionReader& reader, const Instruction& i, uint8_t width) {
  if (i.count != width) reader.Fail("its vector has the wrong length");
  if (i.count * BytesOf(reader.type()) > 16) reader.Fail("it is wider than 16 bytes");
}

// The type that moves a value's bits unchanged: a NaN keeps its payload.
Type BitsType(Type type) {
  switch (type) {
    case Type::kF16:
      return Type::kB16;
    case Type::kF32:
      return Type::kB32;
    case Type::kF64:
      return Type::kB64;
    default:
      return type;
  }
}

void DecodeLd(InstructionReader& reader, Instruction& i) {
  const Space space = reader.TakeSpace();
  if (space == Space::kGlobal) {
    reader.TakeModifier("nc");
    reader.TakeOneOf({"ca", "cg", "cs", "lu", "L1::no_allocate", "L1::evict_first"});
  }
  reader.TakeModifier("volatile");
  TakeWidth(reader, i);
  const uint8_t width = i.count;
  i.execute = ChooseInSpace<Load>(reader, space, BitsType(reader.type()), Loaded());
  reader.Vector(i, /*destinations=*/true);
  CheckWidth(reader, i, width);
  reader.Comma();
  reader.Address(i);
}

void DecodeSt(InstructionReader& reader, Instruction& i) {
  const Space space = reader.TakeSpace();
  if (space == Space::kParam) reader.Fail("parameters cannot be written");
  if (space == Space::kGlobal) {
    reader.TakeOneOf({"wb", "cg", "cs", "wt", "L1::no_allocate", "L1::evict_first"});
  }
  reader.TakeModifier("volatile");
  TakeWidth(reader, i);
  const uint8_t width = i.count;
  constexpr Type kBySize[] = {Type::kNone, Type::kB8,   Type::kB16,  Type::kNone, Type::kB32,
                              Type::kNone, Type::kNone, Type::kNone, Type::kB64};
  i.execute = ChooseInSpace<Store>(reader, space, kBySize[BytesOf(reader.type())], Stored());
  reader.Address(i);
  reader.Comma();
  reader.Vector(i, /*destinations=*/false);
  CheckWidth(reader, i, width);
}

void DecodeAtom(InstructionReader& reader, Instruction& i) {
  const Space space = reader.TakeSpace();
  const int operation = reader.TakeOneOf({"add", "exch"});
  if (operation < 0) reader.Fail("only .add and .exch are supported");
  const Type type = reader.type();
  // On a GPU an f32 addition in global memory flushes subnormal numbers, one in shared does not.
  if (space != Space::kGlobal && space != Space::kShared) {
    reader.Fail("only .global and .shared are supported");
  } else if (operation == 1) {
    i.execute = ChooseInSpace<AtomicExchange>(reader, space, type, Types<B32, B64>());
  } else if (space == Space::kGlobal) {
    i.execute = reader.Choose<AtomicAdd<Space::kGlobal>>(type, Types<U32, S32, F32Flushed, F64>());
  } else {
    i.execute = reader.Choose<AtomicAdd<Space::kShared>>(type, Types<U32, S32, F32, F64>());
  }
  i.d = reader.Destination();
  reader.Comma();
  reader.Address(i);
  reader.Comma();
  i.b = reader.Source();
}

}  // namespace

const InstructionSet& MemoryAccesses() {
  static const InstructionSet& set =
      *new InstructionSet{{"ld", DecodeLd}, {"st", DecodeSt}, {"atom", DecodeAtom}};
  return set;
}

}  // namespace gpu_emulator
