// The moving average on a GPU with stochastic rounding: random bits are made in registers.
//
// Bit for bit the results of cc/core/cpu/levels/stochastic_average_level.h, except for what
// moving_average.cuh says of NaN.

#ifndef TF_MAVG_CUDA_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_CUH_
#define TF_MAVG_CUDA_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_CUH_

#include <cstdint>

#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/random_bits.h"
#include "cc/core/formulas/stochastic_rounding.h"
#include "cc/core/half.h"
#include "cuda/moving_average/moving_average.cuh"

namespace tf_mavg {

__device__ __forceinline__ Bfloat16 RoundedStochastically(float wide, uint32_t random, Bfloat16) {
  Bfloat16 narrow;
  NarrowStochastically(wide, random, &narrow);
  return narrow;
}

// As StoreStochastically of cc/core/cpu/levels/stochastic_lanes.h: truncated by the instruction for
// it, then one up by chance. Of a NaN the device's conversion makes 0, of too large a number the
// largest.
__device__ __forceinline__ Float16 RoundedStochastically(float wide, uint32_t random, Float16) {
  Float16 narrow;
  asm("cvt.rz.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(wide));
  const uint32_t magnitude = BitsOfFloat(wide) & 0x7fffffffu;
  const float rest = FloatOfBits(BitsOfFloat(wide - Widened(narrow)) & 0x7fffffffu);
  const int chance = __float2int_rz(rest * FloatOfBits(BitsOfUnitsAStep(magnitude)));
  const int drawn = magnitude < 0x477fe000u ? static_cast<int>(random >> 1) : 0x3fffffff;
  if (drawn < chance) ++narrow.bits;
  return narrow;
}

// As many averages of a variable as said.
template <typename Half, int averages>
struct StochasticAverage {
  static constexpr int kWritten = averages;
  static constexpr bool kReads = true;
  using Written = Half;
  using Read = Half;

  // Both in device memory: the host waits for neither.
  __device__ __forceinline__ StochasticAverage(const float* of_averages, const int64_t* of_keys)
      : keys(of_keys) {
#pragma unroll
    for (int i = 0; i < averages; ++i) rates[i] = of_averages[i];
  }

  // From the key anew, since registers are worth more than a few instructions a chunk.
  __device__ __forceinline__ void BeginChunk(int64_t offset) {
#pragma unroll
    for (int i = 0; i < averages; ++i) {
      streams[i] = StreamAt(StateOf(keys + i * kKeyNumbers), offset);
    }
  }

  __device__ __forceinline__ void operator()(Half* average, const Half& variable,
                                             int32_t place) const {
    const float wide = Widened(variable);
#pragma unroll
    for (int i = 0; i < averages; ++i) {
      const float moved = UpdatedAverage(Widened(average[i]), wide, rates[i]);
      const uint32_t random =
          RandomBits(streams[i].first + static_cast<uint32_t>(place), streams[i].middle);
      const Half rounded = RoundedStochastically(moved, random, Half());
      // Chosen, not branched to: the loads and stores of a pack stay whole.
      const Half chosen = rates[i] == kCopy ? variable : rounded;
      if (rates[i] != kKeep) average[i] = chosen;
    }
  }

  const int64_t* const keys;
  float rates[averages];
  RandomStream streams[averages];
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_STOCHASTIC_AVERAGE_STOCHASTIC_AVERAGE_CUH_
