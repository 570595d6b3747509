// Random bits that depend on nothing but what they are for: a counter-based generator, for host and
// device alike.
//
// Each element of each average draws 32 bits at each update, a function of four numbers: the seed,
// the number of the update, which of its variable's averages it is, and the element's offset within
// the variable. There is no state to keep, to save or to share, so threads, devices and resumed
// programs draw alike, as with the generators of Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", SC11. Two variables draw alike at one offset: what tells variables apart, a name or
// a place in a list, is not what a program must keep.
//
// What is common to many elements is mixed once, by the finaliser of SplitMix64 (Steele, Lea,
// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; its constants are
// Stafford's mix 13). An element adds its offset to one half of the result, and goes through the
// 32-bit finaliser "lowbias32" of Wellons (github.com/skeeto/hash-prospector), with the other half
// in its middle. So two updates have sequences of their own, not one sequence from two starts. All
// of it is adding, multiplying and shifting of 32-bit words, which every vector unit has. It is no
// generator for secrets.

#ifndef TF_MAVG_CC_CORE_FORMULAS_RANDOM_BITS_H_
#define TF_MAVG_CC_CORE_FORMULAS_RANDOM_BITS_H_

#include <cstdint>

#include "cc/core/portability.h"

namespace tf_mavg {

// The numbers of a key: the seed, the number of the update, the index of the average.
inline constexpr int kKeyNumbers = 3;

// A state and one more number that it depends on from now on.
TF_MAVG_INLINE uint64_t Absorbed(uint64_t state, uint64_t number) {
  uint64_t mixed = state + number + 0x9e3779b97f4a7c15u;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return mixed ^ (mixed >> 31);
}

TF_MAVG_INLINE uint64_t StateOf(const int64_t* key) {
  uint64_t state = 0;
  for (int i = 0; i < kKeyNumbers; ++i) state = Absorbed(state, static_cast<uint64_t>(key[i]));
  return state;
}

// Where one average draws from an element on, up to the next offset that is a multiple of 2^32.
struct RandomStream {
  uint32_t first;   // What the bits of the first element are made of; the next one's is one more.
  uint32_t middle;  // Alike for all.
};

TF_MAVG_INLINE RandomStream StreamAt(uint64_t state, int64_t offset) {
  const uint64_t mixed = Absorbed(state, static_cast<uint64_t>(offset) >> 32);
  return {static_cast<uint32_t>(mixed) + static_cast<uint32_t>(offset),
          static_cast<uint32_t>(mixed >> 32)};
}

// `Word` is uint32_t, or a vector of them.
template <typename Word>
TF_MAVG_INLINE Word RandomBits(Word counter, uint32_t middle) {
  counter ^= counter >> 16;
  counter *= 0x7feb352du;
  counter ^= (counter >> 15) ^ middle;
  counter *= 0x846ca68bu;
  return counter ^ (counter >> 16);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_FORMULAS_RANDOM_BITS_H_
