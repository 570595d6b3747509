// The CPU kernels of one instruction level. See cpu_kernels.h for the contract.
//
// The build compiles this file once for each level, with that level's flags and with
// TF_MAVG_KERNELS naming the table it defines. Everything else here has internal linkage and no
// template of the standard library is used: a function with a shared name, compiled for AVX-512,
// could be the copy that the linker keeps for every caller.

#include <immintrin.h>

#include <cstdint>

#include "cc/core/average_formula.h"
#include "cc/core/cpu_kernels.h"
#include "cc/core/half.h"

namespace tf_mavg {
namespace {

TF_MAVG_INLINE float Widen(float value) { return value; }
TF_MAVG_INLINE double Widen(double value) { return value; }

TF_MAVG_INLINE void Narrow(float value, float* to) { *to = value; }
TF_MAVG_INLINE void Narrow(double value, double* to) { *to = value; }
TF_MAVG_INLINE void Narrow(float value, Float16* to) { *to = NarrowToFloat16(value); }
TF_MAVG_INLINE void Narrow(float value, Bfloat16* to) { *to = NarrowToBfloat16(value); }

// Element by element; the compiler makes vectors of it.
template <typename Average, typename Variable, typename Compute>
void UpdateElements(Average* __restrict average, const Variable* __restrict variable, int64_t count,
                    Compute one_minus_decay) {
  for (int64_t i = 0; i < count; ++i) {
    Narrow(UpdatedAverage(Widen(average[i]), Widen(variable[i]), one_minus_decay), average + i);
  }
}

template <typename Average, typename Variable, typename Compute = float>
void Update(void* average, const void* variable, int64_t count, float one_minus_decay) {
  UpdateElements(static_cast<Average*>(average), static_cast<const Variable*>(variable), count,
                 static_cast<Compute>(one_minus_decay));
}

#if defined(__F16C__)
// Half precision by hand, since the compiler knows no vectors of float16 and converts to bfloat16
// at half the speed of memory. Lanes are the float32 numbers that the level takes at once.
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

// With an average in float16 or float32.
template <typename Average, typename Variable>
void UpdateLanes(void* average, const void* variable, int64_t count, float one_minus_decay) {
  Average* const averages = static_cast<Average*>(average);
  const Variable* const variables = static_cast<const Variable*>(variable);
  const Lanes factor = Broadcast(one_minus_decay);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Lanes updated = UpdatedAverage(LoadLanes(averages + i), LoadLanes(variables + i), factor);
    StoreLanes(updated, averages + i);
  }
  UpdateElements(averages + i, variables + i, count - i, one_minus_decay);
}

// Two elements a word of 32 bits: no element changes its place on the way to float32 and back.
void UpdateBfloat16(void* average, const void* variable, int64_t count, float one_minus_decay) {
  Bfloat16* const averages = static_cast<Bfloat16*>(average);
  const Bfloat16* const variables = static_cast<const Bfloat16*>(variable);
  const Lanes factor = Broadcast(one_minus_decay);
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    const Words a = LoadWords(averages + i);
    const Words v = LoadWords(variables + i);
    const Words even = RoundToBfloat16(UpdatedAverage(EvenLanes(a), EvenLanes(v), factor));
    const Words odd = RoundToBfloat16(UpdatedAverage(OddLanes(a), OddLanes(v), factor));
    StoreWords(Interleave(even, odd), averages + i);
  }
  UpdateElements(averages + i, variables + i, count - i, one_minus_decay);
}
#else
template <typename Average, typename Variable>
constexpr UpdateFunction UpdateLanes = Update<Average, Variable>;
constexpr UpdateFunction UpdateBfloat16 = Update<Bfloat16, Bfloat16>;
#endif

void SwapBytes(void* first, void* second, int64_t bytes) {
  unsigned char* __restrict a = static_cast<unsigned char*>(first);
  unsigned char* __restrict b = static_cast<unsigned char*>(second);
  for (int64_t i = 0; i < bytes; ++i) {
    const unsigned char byte = a[i];
    a[i] = b[i];
    b[i] = byte;
  }
}

}  // namespace

extern const CpuKernels TF_MAVG_KERNELS;
const CpuKernels TF_MAVG_KERNELS = {
    {UpdateLanes<Float16, Float16>, UpdateBfloat16, Update<float, float>,
     Update<double, double, double>, UpdateLanes<float, Float16>, UpdateLanes<float, Bfloat16>},
    SwapBytes,
};

}  // namespace tf_mavg
