// The one formula of the moving average, for host and device code alike.
//
// Order and rounding are those of tf.train.ExponentialMovingAverage: a subtraction, a product, a
// subtraction, each rounded once. Every file that includes this header is therefore compiled
// without contraction to fused multiply-add (-ffp-contract=off; --fmad=false on the device).
//
// Two rates are no arithmetic, so that a step can start an average or skip it whatever the values:
// at kCopy the average becomes the variable, at kKeep it stays as it is. By the formula, a rounding
// error, a NaN or an infinity could get in.

#ifndef TF_MAVG_CC_CORE_FORMULAS_MOVING_AVERAGE_H_
#define TF_MAVG_CC_CORE_FORMULAS_MOVING_AVERAGE_H_

#include "cc/core/portability.h"

namespace tf_mavg {

// A variable has at most so many averages in one pass; there is a GPU kernel for each number.
inline constexpr int kMostAverages = 4;

inline constexpr float kCopy = 1.0f;
inline constexpr float kKeep = 0.0f;

// The rate is 1 - decay. It is a float32, also for float64 averages: a decay near 1 would lose most
// of its digits in float32, its rate loses none.
template <typename Compute>
TF_MAVG_INLINE Compute UpdatedAverage(Compute average, Compute variable, Compute rate) {
  return average - (average - variable) * rate;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_FORMULAS_MOVING_AVERAGE_H_
