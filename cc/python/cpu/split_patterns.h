// Looks at what becomes of each pattern of a float32 that is split: for tests, which so see all of
// them within a minute.

#ifndef TF_MAVG_CC_PYTHON_CPU_SPLIT_PATTERNS_H_
#define TF_MAVG_CC_PYTHON_CPU_SPLIT_PATTERNS_H_

#include <algorithm>
#include <cstdint>

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/split.h"
#include "cc/core/half.h"

namespace tf_mavg {

inline constexpr int64_t kSplitPatterns = int64_t{1} << 32;

inline bool IsNaN(uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

// Whether the halves say what they must of the float32 with these bits.
inline bool IsSplitExactly(uint32_t bits, Bfloat16 high, int16_t remainder) {
  const uint32_t high_bits = static_cast<uint32_t>(high.bits) << 16;
  const uint32_t joined = BitsOfFloat(Join(high, remainder));
  if (IsNaN(bits)) {  // Quiet, with what payload a bfloat16 has room for.
    return IsNaN(high_bits) && joined == high_bits &&
           high.bits == NarrowToBfloat16(FloatOfBits(bits)).bits;
  }
  // Nothing but the largest numbers, which round to it, has an infinity for its half.
  return joined == bits && !IsNaN(high_bits) &&
         ((high_bits ^ bits) >> 31 == 0);  // Of one sign, also if it is zero.
}

// How many of the float32s with bits in [begin, end) do not split exactly, or are not updated by
// the kernel of the level as float32 averages are. NaNs that arithmetic makes need only be NaNs.
inline int64_t SplitFaults(const CpuKernels& kernels, int64_t begin, int64_t end, float variable,
                           float rate) {
  constexpr int64_t kBlock = 4096;
  Bfloat16 high[kBlock], variables[kBlock];
  int16_t remainder[kBlock];
  std::fill(variables, variables + kBlock, NarrowToBfloat16(variable));
  const float wide = Widen(variables[0]);
  int64_t faults = 0;
  for (; begin < end; begin += kBlock) {
    const int64_t count = std::min(kBlock, end - begin);
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t bits = static_cast<uint32_t>(begin + i);
      Split(FloatOfBits(bits), high + i, remainder + i);
      faults += !IsSplitExactly(bits, high[i], remainder[i]);
    }
    kernels.split_moving_average(high, remainder, variables, count, rate);
    for (int64_t i = 0; i < count; ++i) {
      const float average = FloatOfBits(static_cast<uint32_t>(begin + i));
      const uint32_t expected = BitsOfFloat(UpdatedAverage(average, wide, rate));
      const uint32_t received = BitsOfFloat(Join(high[i], remainder[i]));
      faults += !(received == expected || (IsNaN(expected) && IsNaN(received)));
      faults += !IsSplitExactly(received, high[i], remainder[i]);
    }
  }
  return faults;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_CPU_SPLIT_PATTERNS_H_
