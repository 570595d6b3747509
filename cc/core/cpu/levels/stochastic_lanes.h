// Stochastic rounding in vectors, for the levels that have F16C: to the bit what
// cc/core/formulas/stochastic_rounding.h does one by one.
//
// By hand for float16, since F16C truncates to it in one instruction. Included by
// stochastic_average_level.h only; the rules on linkage of cpu_kernels_level.cc hold here.

#ifndef TF_MAVG_CC_CORE_CPU_LEVELS_STOCHASTIC_LANES_H_
#define TF_MAVG_CC_CORE_CPU_LEVELS_STOCHASTIC_LANES_H_

#include <immintrin.h>

#include <cstdint>

#include "cc/core/cpu/levels/half_lanes.h"
#include "cc/core/formulas/stochastic_rounding.h"
#include "cc/core/half.h"

namespace tf_mavg {
namespace {

// As many words as there are lanes. The compiler knows what to do with these: C++'s operators.
using WordLanes = uint32_t __attribute__((vector_size(sizeof(Lanes))));

WordLanes WordsOf(Lanes lanes) { return reinterpret_cast<WordLanes>(lanes); }

// first, first + step, ...
WordLanes CountedLanes(uint32_t first, uint32_t step) {
  WordLanes counted;
  for (int64_t i = 0; i < kLanes; ++i) counted[i] = first + static_cast<uint32_t>(i) * step;
  return counted;
}

Lanes UnitsAStep(WordLanes magnitude) {
  return reinterpret_cast<Lanes>(BitsOfUnitsAStep(magnitude));
}

// From 65504 on, the largest number, the nearest is taken: up from half a step on.
WordLanes OrHalf(WordLanes random, WordLanes magnitude) {
  return magnitude < 0x477fe000u ? random >> 1 : WordLanes{} + 0x3fffffffu;
}

// The part of a step that a number is beyond the truncated one, in units of 2^-31. Of numbers that
// are not finite it is NaN, of which the conversion makes a negative number.
#if defined(__AVX512F__)
void StoreStochastically(Lanes lanes, WordLanes random, Float16* to) {
  const WordLanes magnitude = WordsOf(lanes) & 0x7fffffffu;
  const __m256i truncated =
      _mm512_maskz_cvtps_ph(kAll, lanes, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const Lanes rest = lanes - _mm512_maskz_cvtph_ps(kAll, truncated);
  const Lanes units = reinterpret_cast<Lanes>(WordsOf(rest) & 0x7fffffffu) * UnitsAStep(magnitude);
  // In this order: the second operand is taken where one is NaN.
  const Lanes most = _mm512_maskz_min_ps(kAll, Broadcast(0x1.fffffep30f), units);
  const __m512i chance = _mm512_maskz_cvttps_epi32(kAll, most);
  const __mmask16 is_up =
      _mm512_cmplt_epi32_mask(reinterpret_cast<__m512i>(OrHalf(random, magnitude)), chance);
  const __m256i rounded = _mm256_mask_add_epi16(truncated, is_up, truncated, _mm256_set1_epi16(1));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), rounded);
}
#else
void StoreStochastically(Lanes lanes, WordLanes random, Float16* to) {
  const WordLanes magnitude = WordsOf(lanes) & 0x7fffffffu;
  const __m128i truncated = _mm256_cvtps_ph(lanes, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const Lanes rest = lanes - _mm256_cvtph_ps(truncated);
  const Lanes units = reinterpret_cast<Lanes>(WordsOf(rest) & 0x7fffffffu) * UnitsAStep(magnitude);
  // In this order: the second operand is taken where one is NaN.
  const Lanes most = _mm256_min_ps(Broadcast(0x1.fffffep30f), units);
  const __m256i chance = _mm256_cvttps_epi32(most);
  const __m256i is_up =
      _mm256_cmpgt_epi32(chance, reinterpret_cast<__m256i>(OrHalf(random, magnitude)));
  const __m128i minus_step =
      _mm_packs_epi32(_mm256_castsi256_si128(is_up), _mm256_extracti128_si256(is_up, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_sub_epi16(truncated, minus_step));
}
#endif

}  // namespace
}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LEVELS_STOCHASTIC_LANES_H_
