// bra ret exit trap bar shfl: what a warp does next, and what its lanes tell each other.

#include <array>

#include "instructions/decoder.h"

namespace gpu_emulator {
namespace {

void Branch(Warp& warp, const Instruction& i) { warp.Branch(static_cast<int32_t>(i.immediate)); }
void Exit(Warp& warp, const Instruction&) { warp.Exit(); }
void Barrier(Warp& warp, const Instruction&) { warp.WaitAtBarrier(); }
void Trap(Warp& warp, const Instruction&) { warp.Fail("trap", __builtin_ctz(warp.mask())); }

// d is a of the lane that b names, which c's lane mask (bits 8 to 12) keeps within the lane's
// segment and c's clamp (bits 0 to 4) bounds; the own a where there is no such lane. d2 says which.
enum Shuffle { kUp, kDown, kButterfly, kIndex };

template <Shuffle shuffle>
void RunShuffle(Warp& warp, const Instruction& i) {
  std::array<uint64_t, Warp::kLanes> values;
  warp.ForEachLane([&](int lane) { values[lane] = warp.Bits(i.a, lane); });
  warp.ForEachLane([&](int lane) {
    const auto members = static_cast<uint32_t>(warp.Get<B32>(i.vector[0], lane));
    if ((members & warp.living()) != (members & warp.mask()) || !(members >> lane & 1)) {
      warp.Fail("not every lane of the member mask takes part in the shuffle", lane);
    }
    const auto b = static_cast<int>(warp.Bits(i.b, lane) & 31);
    const auto c = static_cast<int>(warp.Bits(i.c, lane));
    const int segment = c >> 8 & 31;
    const int first = lane & segment;
    const int bound = first | (c & 31 & ~segment);
    const int source = shuffle == kUp          ? lane - b
                       : shuffle == kDown      ? lane + b
                       : shuffle == kButterfly ? lane ^ b
                                               : first | (b & ~segment);
    const bool valid = shuffle == kUp ? source >= bound : source <= bound;
    if (valid && !(warp.mask() >> source & 1)) {
      warp.Fail("the shuffle reads lane " + std::to_string(source) + ", which takes no part", lane);
    }
    warp.Bits(i.d, lane) = values[valid ? source : lane];
    if (i.d2 != kNoSlot) warp.Set<Pred>(i.d2, lane, valid);
  });
}

void DecodeBra(InstructionReader& reader, Instruction& i) {
  reader.TakeModifier("uni");
  i.execute = Branch;
  reader.Label();
}

void DecodeRet(InstructionReader& reader, Instruction& i) {
  reader.TakeModifier("uni");
  i.execute = Exit;
}

void DecodeTrap(InstructionReader&, Instruction& i) { i.execute = Trap; }

void DecodeBar(InstructionReader& reader, Instruction& i) {
  reader.NeedModifier("sync");
  if (reader.Literal() != 0) reader.Fail("only barrier 0 is supported");
  reader.UsesBarrier();
  i.execute = Barrier;
}

void DecodeShfl(InstructionReader& reader, Instruction& i) {
  constexpr Execute kShuffles[] = {RunShuffle<kUp>, RunShuffle<kDown>, RunShuffle<kButterfly>,
                                   RunShuffle<kIndex>};
  reader.NeedModifier("sync");
  const int shuffle = reader.TakeOneOf({"up", "down", "bfly", "idx"});
  if (shuffle < 0 || reader.type() != Type::kB32) reader.Fail("its form is not supported");
  i.execute = kShuffles[shuffle];
  i.d = reader.Destination();
  if (reader.TakeIf("|")) i.d2 = reader.Destination();
  for (int32_t* source : {&i.a, &i.b, &i.c, &i.vector[0]}) {
    reader.Comma();
    *source = reader.Source();
  }
}

}  // namespace

const InstructionSet& Control() {
  static const InstructionSet& set = *new InstructionSet{
      {"bra", DecodeBra},   {"ret", DecodeRet}, {"exit", DecodeRet},
      {"trap", DecodeTrap}, {"bar", DecodeBar}, {"shfl", DecodeShfl},
  };
  return set;
}

}  // namespace gpu_emulator
