// The one formula of the moving average, for host and device code alike.
//
// Order and rounding are those of tf.train.ExponentialMovingAverage: a subtraction, a product, a
// subtraction, each rounded once. Every file that includes this header is therefore compiled
// without contraction to fused multiply-add (-ffp-contract=off; --fmad=false on the device).

#ifndef TF_MAVG_CC_CORE_AVERAGE_FORMULA_H_
#define TF_MAVG_CC_CORE_AVERAGE_FORMULA_H_

#include "cc/core/portability.h"

namespace tf_mavg {

// The factor is taken in float32 from a float32 decay, also for float64 averages, because that is
// what tf.train.ExponentialMovingAverage does: 1 - float32(0.9999) = 1.00016594e-4.
TF_MAVG_INLINE float OneMinusDecay(float decay) { return 1.0f - decay; }

template <typename Compute>
TF_MAVG_INLINE Compute UpdatedAverage(Compute average, Compute variable, Compute one_minus_decay) {
  return average - (average - variable) * one_minus_decay;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_AVERAGE_FORMULA_H_
