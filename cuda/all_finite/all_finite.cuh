// Whether one side of a table is all finite, on a GPU.
//
// A thread joins the carries of its elements in a register and reports once, at its end. Several
// threads may report at the same time: all of them write the same.

#ifndef TF_MAVG_CUDA_ALL_FINITE_ALL_FINITE_CUH_
#define TF_MAVG_CUDA_ALL_FINITE_ALL_FINITE_CUH_

#include "cc/core/formulas/all_finite.h"

namespace tf_mavg {

template <typename Element>
struct AllFinite {
  static constexpr int kWritten = 0;
  static constexpr bool kReads = true;
  using Written = Element;
  using Read = Element;

  __device__ __forceinline__ void operator()(Element*, const Element& element) {
    carries |= ExponentCarry(element);
  }

  __device__ __forceinline__ void Report(bool* all_finite) const {
    if (HasCarry(carries)) *all_finite = false;
  }

  decltype(ExponentCarry(Element())) carries = 0;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_ALL_FINITE_ALL_FINITE_CUH_
