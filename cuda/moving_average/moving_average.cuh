// The moving average on a GPU: one or several averages of a variable move towards it.
//
// Bit for bit the results of cc/core/cpu/levels/moving_average_level.h, except that a NaN which
// arithmetic or a conversion makes has the device's one pattern and not the operand's payload.

#ifndef TF_MAVG_CUDA_MOVING_AVERAGE_MOVING_AVERAGE_CUH_
#define TF_MAVG_CUDA_MOVING_AVERAGE_MOVING_AVERAGE_CUH_

#include "cc/core/formulas/moving_average.h"
#include "cc/core/half.h"

namespace tf_mavg {

__device__ __forceinline__ float Widened(float value) { return value; }
__device__ __forceinline__ double Widened(double value) { return value; }
__device__ __forceinline__ float Widened(Bfloat16 value) { return Widen(value); }

// float16 is converted by the instruction that every GPU has; bfloat16's exists from compute
// capability 8.0 only, and the portable conversion is a handful of integer instructions.
__device__ __forceinline__ float Widened(Float16 value) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
}

__device__ __forceinline__ void Narrow(float wide, float* narrow) { *narrow = wide; }
__device__ __forceinline__ void Narrow(double wide, double* narrow) { *narrow = wide; }
__device__ __forceinline__ void Narrow(float wide, Bfloat16* narrow) {
  *narrow = NarrowToBfloat16(wide);
}
__device__ __forceinline__ void Narrow(float wide, Float16* narrow) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow->bits) : "f"(wide));
}

// As many averages of a variable as said.
template <typename Average, typename Variable, int averages>
struct MovingAverage {
  static constexpr int kWritten = averages;
  static constexpr bool kReads = true;
  using Written = Average;
  using Read = Variable;
  using Compute = decltype(Widened(Average()));

  // The rates lie in device memory: the host never waits for their values.
  __device__ __forceinline__ explicit MovingAverage(const float* of_averages) {
#pragma unroll
    for (int i = 0; i < averages; ++i) rates[i] = static_cast<Compute>(of_averages[i]);
  }
  // One rate, whoever has it.
  __device__ __forceinline__ explicit MovingAverage(Compute rate) : rates{rate} {}

  __device__ __forceinline__ void operator()(Average* average, const Variable& variable) const {
    const Compute wide = Widened(variable);
#pragma unroll
    for (int i = 0; i < averages; ++i) {
      const Compute old = Widened(average[i]);
      // Chosen, not branched to: the loads and stores of a pack stay whole.
      const Compute moved = rates[i] == kKeep ? old : UpdatedAverage<Compute>(old, wide, rates[i]);
      Narrow(rates[i] == kCopy ? wide : moved, &average[i]);
    }
  }

  Compute rates[averages];
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_MOVING_AVERAGE_MOVING_AVERAGE_CUH_
