// The swap on a GPU: two sides exchange their bytes, so one kernel serves every dtype.
//
// It keeps every bit, also of a NaN.

#ifndef TF_MAVG_CUDA_SWAP_SWAP_CUH_
#define TF_MAVG_CUDA_SWAP_SWAP_CUH_

#include <cstdint>

namespace tf_mavg {

struct Swap {
  static constexpr int kWritten = 2;
  static constexpr bool kReads = false;
  using Written = uint8_t;
  using Read = uint8_t;

  __device__ __forceinline__ void operator()(uint8_t* sides, const uint8_t&) const {
    const uint8_t held = sides[0];
    sides[0] = sides[1];
    sides[1] = held;
  }
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_SWAP_SWAP_CUH_
