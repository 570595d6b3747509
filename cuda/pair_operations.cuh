// What the kernels do to a pair of elements: the moving average's update, and the swap.
//
// Bit for bit the results of cc/core/cpu_kernels_level.cc, except that a NaN which arithmetic makes
// has the device's one pattern and not the operand's payload. A swap keeps every bit.

#ifndef TF_MAVG_CUDA_PAIR_OPERATIONS_CUH_
#define TF_MAVG_CUDA_PAIR_OPERATIONS_CUH_

#include <cstdint>

#include "cc/core/average_formula.h"
#include "cc/core/half.h"
#include "cuda/pair_walker.cuh"

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

template <typename Average, typename Variable = Average>
struct Update {
  using First = Average;
  using Second = Variable;
  using Compute = decltype(Widened(Average()));
  static constexpr bool kWritesSecond = false;

  // `decay` lies in device memory: the host never waits for its value.
  __device__ explicit Update(const float* decay)
      : one_minus_decay(static_cast<Compute>(OneMinusDecay(*decay))) {}

  __device__ __forceinline__ void operator()(Average* average, const Variable* variable) const {
    Narrow(UpdatedAverage<Compute>(Widened(*average), Widened(*variable), one_minus_decay),
           average);
  }

  template <int count>
  __device__ __forceinline__ void operator()(Pack<Average, count>* averages,
                                             const Pack<Variable, count>* variables) const {
#pragma unroll
    for (int i = 0; i < count; ++i) (*this)(&averages->elements[i], &variables->elements[i]);
  }

  const Compute one_minus_decay;
};

// Exchanges bytes, so one kernel serves every dtype.
struct Swap {
  using First = uint8_t;
  using Second = uint8_t;
  static constexpr bool kWritesSecond = true;

  template <typename Bytes>
  __device__ __forceinline__ void operator()(Bytes* first, Bytes* second) const {
    const Bytes held = *first;
    *first = *second;
    *second = held;
  }
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_PAIR_OPERATIONS_CUH_
