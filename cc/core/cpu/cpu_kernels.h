// The loops over memory on the CPU, one set for each instruction level, chosen at run time.
//
// They know neither TensorFlow nor threads nor locks: the caller owns the memory, holds whatever
// guards it, and may call them from many threads on ranges that do not overlap. Pointers need only
// the alignment of their element. Denormal float32 and float64 numbers are treated as the calling
// thread's control register says.

#ifndef TF_MAVG_CC_CORE_CPU_CPU_KERNELS_H_
#define TF_MAVG_CC_CORE_CPU_CPU_KERNELS_H_

#include <cstdint>

#include "cc/core/dtypes.h"
#include "cc/core/formulas/random_bits.h"

namespace tf_mavg {

// Ordered: each level includes the ones before it.
enum class CpuLevel : int {
  kBaseline,  // What each processor has: SSE2 on x86-64, NEON on aarch64. Elsewhere the only one.
  kAvx2,      // AVX2 with F16C.
  kAvx512,    // AVX-512 F, BW, DQ and VL.
};

inline constexpr int kCpuLevels = 3;
inline constexpr const char* kCpuLevelNames[kCpuLevels] = {"baseline", "avx2", "avx512"};

inline constexpr const char* NameOf(CpuLevel level) {
  return kCpuLevelNames[static_cast<int>(level)];
}

// average[i] = UpdatedAverage(average[i], variable[i], rate) for count elements of the dtypes that
// the function was chosen for; at the rate kCopy, variable[i]. The two ranges must not overlap.
// The rate is rounded to the dtype of the arithmetic.
using MovingAverageFunction = void (*)(void* average, const void* variable, int64_t count,
                                       double rate);

// The same of float32 averages that are split as in cc/core/formulas/split.h, of bfloat16
// variables; at the rate kCopy, the variable's bits and no remainder. No two of the three ranges
// may overlap.
using SplitMovingAverageFunction = void (*)(void* high, void* remainder, const void* variable,
                                            int64_t count, float rate);

// As MovingAverageFunction, rounded stochastically: the first of the elements draws from the
// stream's beginning. See cc/core/formulas/stochastic_rounding.h.
using StochasticAverageFunction = void (*)(void* average, const void* variable, int64_t count,
                                           float rate, RandomStream stream);

// Exchanges the bytes of two ranges that do not overlap.
using SwapFunction = void (*)(void* first, void* second, int64_t bytes);

// Whether count elements of the dtype that the function was chosen for are all finite.
using AllFiniteFunction = bool (*)(const void* elements, int64_t count);

struct CpuKernels {
  MovingAverageFunction moving_average[kDtypesCount];  // By Dtypes.
  // By Dtypes, null where the average is not of half precision.
  StochasticAverageFunction stochastic_average[kDtypesCount];
  SwapFunction swap;
  AllFiniteFunction all_finite[kDtypesCount];  // Of the variables, by Dtypes.
  SplitMovingAverageFunction split_moving_average;
};

// The highest level that this processor and its operating system support.
CpuLevel SupportedCpuLevel();

// The level in use: the supported one, or a lower one named by the environment variable
// TF_MAVG_CPU_LEVEL (baseline, avx2 or avx512), which is read once. Any other value of it is
// reported on stderr and ignored.
CpuLevel ActiveCpuLevel();

// `level` must not exceed SupportedCpuLevel().
const CpuKernels& KernelsOf(CpuLevel level);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_CPU_KERNELS_H_
