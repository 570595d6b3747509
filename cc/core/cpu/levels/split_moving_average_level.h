// The update of split averages in one stretch of memory, at the instruction level of the includer.
//
// Included by cpu_kernels_level.cc only, whose rules on linkage hold here.

#ifndef TF_MAVG_CC_CORE_CPU_LEVELS_SPLIT_MOVING_AVERAGE_LEVEL_H_
#define TF_MAVG_CC_CORE_CPU_LEVELS_SPLIT_MOVING_AVERAGE_LEVEL_H_

#include <cstdint>
#include <cstring>

#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/split.h"
#include "cc/core/half.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace tf_mavg {
namespace {

void UpdateSplitElements(Bfloat16* __restrict high, int16_t* __restrict remainder,
                         const Bfloat16* __restrict variable, int64_t count, float rate) {
  for (int64_t i = 0; i < count; ++i) {
    const float average = Join(high[i], remainder[i]);
    Split(UpdatedAverage(average, Widen(variable[i]), rate), high + i, remainder + i);
  }
}

// Vectors as wide as the level has them, of g++'s own: it makes of a plain loop over elements of 16
// bits one that packs and unpacks them, at half the speed.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
using SplitFloats [[gnu::vector_size(kVectorBytes)]] = float;
using SplitWords [[gnu::vector_size(kVectorBytes)]] = uint32_t;
using SplitHalves [[gnu::vector_size(kVectorBytes)]] = int16_t;

TF_MAVG_INLINE SplitWords LoadSplitWords(const void* from) {
  SplitWords words;
  std::memcpy(&words, from, sizeof words);
  return words;
}

// What the rounding has added to an upper half: 1 where the remainder is negative.
TF_MAVG_INLINE SplitHalves RoundedUp(SplitWords remainder) {
  return -(reinterpret_cast<SplitHalves>(remainder) >> 15);
}

// Whether a number of either is NaN: one comparison for both.
TF_MAVG_INLINE bool HasNaN(SplitFloats first, SplitFloats second) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(first, second, _CMP_UNORD_Q) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(_mm256_cmp_ps(first, second, _CMP_UNORD_Q)) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_ps(_mm_cmpunord_ps(first, second)) != 0;
#else
  using Pair [[gnu::vector_size(kVectorBytes)]] = uint64_t;
  const Pair is_nan = reinterpret_cast<Pair>((first != first) | (second != second));
  return (is_nan[0] | is_nan[1]) != 0;
#endif
}

// A NaN that comes out of arithmetic is quiet; it loses what is to have no remainder.
TF_MAVG_INLINE SplitFloats WithoutRemainderOfNaN(SplitFloats values) {
  const SplitWords is_nan = reinterpret_cast<SplitWords>(values != values);
  return reinterpret_cast<SplitFloats>(reinterpret_cast<SplitWords>(values) & ~(is_nan >> 16));
}

// Two elements a word of 32 bits: no element changes its place on the way to float32 and back.
void UpdateSplit(Bfloat16* high, int16_t* remainder, const Bfloat16* variable, int64_t count,
                 float rate) {
  constexpr int64_t kElements = kVectorBytes / sizeof(int16_t);
  constexpr uint32_t kUpper = 0xffff0000u;
  const SplitFloats rates = rate - SplitFloats{};
  int64_t i = 0;
  for (; i + kElements <= count; i += kElements) {
    const SplitWords r = LoadSplitWords(remainder + i);
    const SplitWords h = reinterpret_cast<SplitWords>(
        reinterpret_cast<SplitHalves>(LoadSplitWords(high + i)) - RoundedUp(r));
    const SplitWords v = LoadSplitWords(variable + i);
    const auto update = [&](SplitWords average, SplitWords of_variable) {
      return UpdatedAverage(reinterpret_cast<SplitFloats>(average),
                            reinterpret_cast<SplitFloats>(of_variable), rates);
    };
    SplitFloats first = update((h << 16) | (r & ~kUpper), v << 16);
    SplitFloats second = update((h & kUpper) | (r >> 16), v & kUpper);
    if (__builtin_expect(HasNaN(first, second), false)) {
      first = WithoutRemainderOfNaN(first);
      second = WithoutRemainderOfNaN(second);
    }
    const SplitWords even = reinterpret_cast<SplitWords>(first);
    const SplitWords odd = reinterpret_cast<SplitWords>(second);
    const SplitWords new_remainder = (even & ~kUpper) | (odd << 16);
    const SplitHalves new_high =
        reinterpret_cast<SplitHalves>((even >> 16) | (odd & kUpper)) + RoundedUp(new_remainder);
    std::memcpy(high + i, &new_high, sizeof new_high);
    std::memcpy(remainder + i, &new_remainder, sizeof new_remainder);
  }
  UpdateSplitElements(high + i, remainder + i, variable + i, count - i, rate);
}

void UpdateSplitStretch(void* high, void* remainder, const void* variable, int64_t count,
                        float rate) {
  Bfloat16* const highs = static_cast<Bfloat16*>(high);
  int16_t* const remainders = static_cast<int16_t*>(remainder);
  const Bfloat16* const variables = static_cast<const Bfloat16*>(variable);
  if (rate == kCopy) {
    std::memcpy(highs, variables, count * sizeof(Bfloat16));
    std::memset(remainders, 0, count * sizeof(int16_t));
    return;
  }
  UpdateSplit(highs, remainders, variables, count, rate);
}

}  // namespace
}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LEVELS_SPLIT_MOVING_AVERAGE_LEVEL_H_
