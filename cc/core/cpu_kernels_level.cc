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

// Elements widened at a time: two float32 blocks of 2 KiB stay in the first-level cache.
constexpr int64_t kBlock = 512;

#if defined(__AVX512F__)
// The unmasked intrinsics warn of an uninitialised value in g++ 12's own header.
constexpr __mmask16 kAllLanes = 0xffff;
#endif

int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename Compute>
void UpdateRange(Compute* __restrict average, const Compute* __restrict variable, int64_t count,
                 Compute one_minus_decay) {
  for (int64_t i = 0; i < count; ++i) {
    average[i] = UpdatedAverage(average[i], variable[i], one_minus_decay);
  }
}

void WidenRange(const Bfloat16* __restrict narrow, float* __restrict wide, int64_t count) {
  for (int64_t i = 0; i < count; ++i) wide[i] = Widen(narrow[i]);
}

void NarrowRange(const float* __restrict wide, Bfloat16* __restrict narrow, int64_t count) {
  for (int64_t i = 0; i < count; ++i) narrow[i] = NarrowToBfloat16(wide[i]);
}

void WidenRange(const Float16* __restrict narrow, float* __restrict wide, int64_t count) {
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= count; i += 16) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(narrow + i));
    _mm512_storeu_ps(wide + i, _mm512_maskz_cvtph_ps(kAllLanes, bits));
  }
#elif defined(__F16C__)
  for (; i + 8 <= count; i += 8) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(narrow + i));
    _mm256_storeu_ps(wide + i, _mm256_cvtph_ps(bits));
  }
#endif
  for (; i < count; ++i) wide[i] = Widen(narrow[i]);
}

void NarrowRange(const float* __restrict wide, Float16* __restrict narrow, int64_t count) {
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= count; i += 16) {
    const __m256i bits =
        _mm512_maskz_cvtps_ph(kAllLanes, _mm512_loadu_ps(wide + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(narrow + i), bits);
  }
#elif defined(__F16C__)
  for (; i + 8 <= count; i += 8) {
    const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(wide + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(narrow + i), bits);
  }
#endif
  for (; i < count; ++i) narrow[i] = NarrowToFloat16(wide[i]);
}

// Average and variable of one dtype in which the arithmetic is done.
template <typename Compute>
void UpdateWide(void* average, const void* variable, int64_t count, float one_minus_decay) {
  UpdateRange(static_cast<Compute*>(average), static_cast<const Compute*>(variable), count,
              static_cast<Compute>(one_minus_decay));
}

// Average and variable in half precision: widened, updated in float32, rounded once.
template <typename Narrow>
void UpdateNarrow(void* average, const void* variable, int64_t count, float one_minus_decay) {
  alignas(64) float wide_average[kBlock];
  alignas(64) float wide_variable[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = Smaller(kBlock, count - begin);
    Narrow* const narrow_average = static_cast<Narrow*>(average) + begin;
    WidenRange(narrow_average, wide_average, size);
    WidenRange(static_cast<const Narrow*>(variable) + begin, wide_variable, size);
    UpdateRange(wide_average, wide_variable, size, one_minus_decay);
    NarrowRange(wide_average, narrow_average, size);
  }
}

// A float32 average of a variable in half precision.
template <typename Narrow>
void UpdateMixed(void* average, const void* variable, int64_t count, float one_minus_decay) {
  alignas(64) float wide_variable[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = Smaller(kBlock, count - begin);
    WidenRange(static_cast<const Narrow*>(variable) + begin, wide_variable, size);
    UpdateRange(static_cast<float*>(average) + begin, wide_variable, size, one_minus_decay);
  }
}

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
    {UpdateNarrow<Float16>, UpdateNarrow<Bfloat16>, UpdateWide<float>, UpdateWide<double>,
     UpdateMixed<Float16>, UpdateMixed<Bfloat16>},
    SwapBytes,
};

}  // namespace tf_mavg
