// The moving average on a GPU where float32 averages are split: see cc/core/formulas/split.h.
//
// Bit for bit the results of cc/core/cpu/levels/split_moving_average_level.h, except that a NaN
// which arithmetic makes has the device's one pattern and not the operand's payload.

#ifndef TF_MAVG_CUDA_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_CUH_
#define TF_MAVG_CUDA_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_CUH_

#include <cstdint>

#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/split.h"
#include "cc/core/half.h"

namespace tf_mavg {

// As many averages of a variable as said: the upper halves of all come first, then the remainders.
template <int averages>
struct SplitMovingAverage {
  static constexpr int kWritten = 2 * averages;
  static constexpr bool kReads = true;
  using Written = uint16_t;
  using Read = Bfloat16;

  // The rates lie in device memory: the host never waits for their values.
  __device__ __forceinline__ explicit SplitMovingAverage(const float* of_averages) {
#pragma unroll
    for (int i = 0; i < averages; ++i) rates[i] = of_averages[i];
  }

  __device__ __forceinline__ void operator()(uint16_t* halves, const Bfloat16& variable) const {
    const float wide = Widen(variable);
#pragma unroll
    for (int i = 0; i < averages; ++i) {
      const uint16_t old_high = halves[i];
      const uint16_t old_remainder = halves[averages + i];
      const float old = Join(Bfloat16{old_high}, static_cast<int16_t>(old_remainder));
      Bfloat16 high;
      int16_t remainder;
      Split(UpdatedAverage<float>(old, wide, rates[i]), &high, &remainder);
      // Chosen, not branched to: the loads and stores of a pack stay whole.
      const bool copies = rates[i] == kCopy, keeps = rates[i] == kKeep;
      halves[i] = copies ? variable.bits : keeps ? old_high : high.bits;
      halves[averages + i] = copies  ? uint16_t{0}
                             : keeps ? old_remainder
                                     : static_cast<uint16_t>(remainder);
    }
  }

  float rates[averages];
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_SPLIT_MOVING_AVERAGE_SPLIT_MOVING_AVERAGE_CUH_
