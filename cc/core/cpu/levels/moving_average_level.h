// The update of averages in one stretch of memory, at the instruction level of the includer.
//
// Included by cpu_kernels_level.cc only, whose rules on linkage hold here.

#ifndef TF_MAVG_CC_CORE_CPU_LEVELS_MOVING_AVERAGE_LEVEL_H_
#define TF_MAVG_CC_CORE_CPU_LEVELS_MOVING_AVERAGE_LEVEL_H_

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cc/core/formulas/moving_average.h"
#include "cc/core/half.h"
#if defined(__F16C__)
#include "cc/core/cpu/levels/half_lanes.h"
#endif

namespace tf_mavg {
namespace {

TF_MAVG_INLINE float Widen(float value) { return value; }
TF_MAVG_INLINE double Widen(double value) { return value; }

TF_MAVG_INLINE void Narrow(float value, float* to) { *to = value; }
TF_MAVG_INLINE void Narrow(double value, double* to) { *to = value; }
TF_MAVG_INLINE void Narrow(float value, Float16* to) { *to = NarrowToFloat16(value); }
TF_MAVG_INLINE void Narrow(float value, Bfloat16* to) { *to = NarrowToBfloat16(value); }

// Element by element; the compiler makes vectors of it.
template <typename Average, typename Variable>
void UpdateElements(Average* __restrict average, const Variable* __restrict variable, int64_t count,
                    double rate) {
  const auto wide_rate = static_cast<decltype(Widen(*average))>(rate);
  for (int64_t i = 0; i < count; ++i) {
    Narrow(UpdatedAverage(Widen(average[i]), Widen(variable[i]), wide_rate), average + i);
  }
}

#if defined(__F16C__)
// With a variable in half precision, and an average in float16 or float32.
template <typename Average, typename Variable>
void UpdateHalf(Average* average, const Variable* variable, int64_t count, double rate) {
  const Lanes rates = Broadcast(static_cast<float>(rate));
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Lanes updated = UpdatedAverage(LoadLanes(average + i), LoadLanes(variable + i), rates);
    StoreLanes(updated, average + i);
  }
  UpdateElements(average + i, variable + i, count - i, rate);
}

// Two elements a word of 32 bits: no element changes its place on the way to float32 and back.
void UpdateHalf(Bfloat16* average, const Bfloat16* variable, int64_t count, double rate) {
  const Lanes rates = Broadcast(static_cast<float>(rate));
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    const Words a = LoadWords(average + i);
    const Words v = LoadWords(variable + i);
    const Words even = RoundToBfloat16(UpdatedAverage(EvenLanes(a), EvenLanes(v), rates));
    const Words odd = RoundToBfloat16(UpdatedAverage(OddLanes(a), OddLanes(v), rates));
    StoreWords(Interleave(even, odd), average + i);
  }
  UpdateElements(average + i, variable + i, count - i, rate);
}
#endif

// The variable's bits, or its value where the average has the wider dtype.
template <typename Average, typename Variable>
void CopyElements(Average* __restrict average, const Variable* __restrict variable, int64_t count) {
  if constexpr (std::is_same_v<Average, Variable>) {
    std::memcpy(average, variable, count * sizeof(Average));
  } else {
    for (int64_t i = 0; i < count; ++i) Narrow(Widen(variable[i]), average + i);
  }
}

template <typename Average, typename Variable>
void UpdateStretch(void* average, const void* variable, int64_t count, double rate) {
  Average* const averages = static_cast<Average*>(average);
  const Variable* const variables = static_cast<const Variable*>(variable);
  // A rate of rows may become 1 by rounding.
  if (static_cast<decltype(Widen(*averages))>(rate) == kCopy) {
    return CopyElements(averages, variables, count);
  }
#if defined(__F16C__)
  if constexpr (sizeof(Variable) == 2) return UpdateHalf(averages, variables, count, rate);
#endif
  UpdateElements(averages, variables, count, rate);
}

}  // namespace
}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LEVELS_MOVING_AVERAGE_LEVEL_H_
