// Half precision in vectors, for the levels that have F16C: as many float32 lanes as a level takes.
//
// By hand, since the compiler knows no vectors of float16 and converts to bfloat16 at half the
// speed of memory. Included by cpu_kernels_level.cc only, whose rules on linkage hold here.

#ifndef TF_MAVG_CC_CORE_CPU_LEVELS_HALF_LANES_H_
#define TF_MAVG_CC_CORE_CPU_LEVELS_HALF_LANES_H_

#include <immintrin.h>

#include <cstdint>

#include "cc/core/half.h"

namespace tf_mavg {
namespace {

#if defined(__AVX512F__)
using Lanes = __m512;
constexpr __mmask16 kAll = 0xffff;  // g++ 12's own header warns of the unmasked intrinsics.

Lanes Broadcast(float value) { return _mm512_set1_ps(value); }

Lanes LoadLanes(const float* from) { return _mm512_loadu_ps(from); }

Lanes LoadLanes(const Float16* from) {
  return _mm512_maskz_cvtph_ps(kAll, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

Lanes LoadLanes(const Bfloat16* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(
      _mm512_maskz_slli_epi32(kAll, _mm512_maskz_cvtepu16_epi32(kAll, halves), 16));
}

void StoreLanes(Lanes lanes, float* to) { _mm512_storeu_ps(to, lanes); }

void StoreLanes(Lanes lanes, Float16* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_maskz_cvtps_ph(kAll, lanes, _MM_FROUND_TO_NEAREST_INT));
}

using Words = __m512i;

Words LoadWords(const Bfloat16* from) { return _mm512_loadu_si512(from); }

void StoreWords(Words words, Bfloat16* to) { _mm512_storeu_si512(to, words); }

Lanes EvenLanes(Words words) {
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, words, 16));
}

Lanes OddLanes(Words words) {
  return _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(~0xffff)));
}

Words RoundToBfloat16(Lanes lanes) {
  const Words bits = _mm512_castps_si512(lanes);
  const Words last_kept_bit =
      _mm512_and_si512(_mm512_maskz_srli_epi32(kAll, bits, 16), _mm512_set1_epi32(1));
  const Words rounded =
      _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), last_kept_bit);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(lanes, lanes, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x00400000));
}

Words Interleave(Words even, Words odd) {
  return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_maskz_srli_epi32(kAll, even, 16), odd);
}
#else
using Lanes = __m256;

Lanes Broadcast(float value) { return _mm256_set1_ps(value); }

Lanes LoadLanes(const float* from) { return _mm256_loadu_ps(from); }

Lanes LoadLanes(const Float16* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

Lanes LoadLanes(const Bfloat16* from) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

void StoreLanes(Lanes lanes, float* to) { _mm256_storeu_ps(to, lanes); }

void StoreLanes(Lanes lanes, Float16* to) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm256_cvtps_ph(lanes, _MM_FROUND_TO_NEAREST_INT));
}

using Words = __m256i;

Words LoadWords(const Bfloat16* from) {
  return _mm256_loadu_si256(reinterpret_cast<const Words*>(from));
}

void StoreWords(Words words, Bfloat16* to) {
  _mm256_storeu_si256(reinterpret_cast<Words*>(to), words);
}

Lanes EvenLanes(Words words) { return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16)); }

Lanes OddLanes(Words words) {
  return _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(~0xffff)));
}

Words RoundToBfloat16(Lanes lanes) {
  const Words bits = _mm256_castps_si256(lanes);
  const Words last_kept_bit = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const Words rounded =
      _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last_kept_bit);
  const Words quiet_nan = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
  const Words is_nan = _mm256_castps_si256(_mm256_cmp_ps(lanes, lanes, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet_nan, is_nan);
}

Words Interleave(Words even, Words odd) {
  return _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xaa);
}
#endif

constexpr int64_t kLanes = sizeof(Lanes) / sizeof(float);

}  // namespace
}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LEVELS_HALF_LANES_H_
