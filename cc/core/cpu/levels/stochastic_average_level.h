// The update of averages that are rounded stochastically, in one stretch of memory, at the
// instruction level of the includer.
//
// Included by cpu_kernels_level.cc only, whose rules on linkage hold here.

#ifndef TF_MAVG_CC_CORE_CPU_LEVELS_STOCHASTIC_AVERAGE_LEVEL_H_
#define TF_MAVG_CC_CORE_CPU_LEVELS_STOCHASTIC_AVERAGE_LEVEL_H_

#include <cstdint>
#include <cstring>

#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/random_bits.h"
#include "cc/core/formulas/stochastic_rounding.h"
#include "cc/core/half.h"
#if defined(__F16C__)
#include "cc/core/cpu/levels/half_lanes.h"
#include "cc/core/cpu/levels/stochastic_lanes.h"
#endif

namespace tf_mavg {
namespace {

// Elements from `begin` on of a stretch whose first element draws from the stream's beginning.
template <typename Half>
void UpdateStochastically(Half* __restrict average, const Half* __restrict variable, int64_t begin,
                          int64_t end, float rate, RandomStream stream) {
  for (int64_t i = begin; i < end; ++i) {
    const float updated = UpdatedAverage(Widen(average[i]), Widen(variable[i]), rate);
    const uint32_t random = RandomBits(stream.first + static_cast<uint32_t>(i), stream.middle);
    NarrowStochastically(updated, random, average + i);
  }
}

#if defined(__F16C__)
// Returns how many elements it has updated: whole vectors.
int64_t UpdateVectors(Float16* average, const Float16* variable, int64_t count, float rate,
                      RandomStream stream) {
  const Lanes rates = Broadcast(rate);
  WordLanes counters = CountedLanes(stream.first, 1);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Lanes updated = UpdatedAverage(LoadLanes(average + i), LoadLanes(variable + i), rates);
    StoreStochastically(updated, RandomBits(counters, stream.middle), average + i);
    counters += static_cast<uint32_t>(kLanes);
  }
  return i;
}

// Two elements a word, as in moving_average_level.h.
int64_t UpdateVectors(Bfloat16* average, const Bfloat16* variable, int64_t count, float rate,
                      RandomStream stream) {
  const Lanes rates = Broadcast(rate);
  WordLanes counters = CountedLanes(stream.first, 2);
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    const Words a = LoadWords(average + i);
    const Words v = LoadWords(variable + i);
    const Lanes even = UpdatedAverage(EvenLanes(a), EvenLanes(v), rates);
    const Lanes odd = UpdatedAverage(OddLanes(a), OddLanes(v), rates);
    const WordLanes of_even = BitsOfBfloat16(WordsOf(even), RandomBits(counters, stream.middle));
    const WordLanes of_odd = BitsOfBfloat16(WordsOf(odd), RandomBits(counters + 1, stream.middle));
    StoreWords(Interleave(reinterpret_cast<Words>(of_even), reinterpret_cast<Words>(of_odd)),
               average + i);
    counters += static_cast<uint32_t>(2 * kLanes);
  }
  return i;
}
#endif

template <typename Half>
void UpdateStretchStochastically(void* average, const void* variable, int64_t count, float rate,
                                 RandomStream stream) {
  Half* const averages = static_cast<Half*>(average);
  const Half* const variables = static_cast<const Half*>(variable);
  if (rate == kCopy) {
    std::memcpy(averages, variables, count * sizeof(Half));
    return;
  }
  int64_t done = 0;
#if defined(__F16C__)
  done = UpdateVectors(averages, variables, count, rate, stream);
#endif
  UpdateStochastically(averages, variables, done, count, rate, stream);
}

}  // namespace
}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LEVELS_STOCHASTIC_AVERAGE_LEVEL_H_
