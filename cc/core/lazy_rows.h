// Averages of which only the rows of a step are touched: which steps a row has not seen, and what
// they make of it. For host and device code alike.
//
// While a row of the variable is not written, it is constant, and the moves of its average between
// steps s and t are one move, at the rate 1 - exp(L_t - L_s), where L_n is the sum of the
// logarithms of the first n decays. So a row is caught up before the variable's row is written,
// with the old values, and the step itself is only noted in the clock: it is caught up later.
//
// A clock is an array of float64: a header, then L_0 to L_capacity. A row's counter is the number
// of steps of the clock that its average has seen. The sums are small, for they begin anew when the
// clock is full: all rows have seen all steps then, and every counter is 0.

#ifndef TF_MAVG_CC_CORE_LAZY_ROWS_H_
#define TF_MAVG_CC_CORE_LAZY_ROWS_H_

#include <cstdint>

#include "cc/core/moving_average.h"
#include "cc/core/portability.h"

namespace tf_mavg {

// The header: the steps of the clock, and the last of them whose decay was 0, or 0; its logarithm
// is infinite and in no sum. Then what the sums have lost by rounding, as Kahan's summation notes
// it.
inline constexpr int kClockSteps = 0;
inline constexpr int kClockLastCopy = 1;
inline constexpr int kClockLost = 2;
inline constexpr int kClockSums = 3;

// The elements of a clock that has room for a number of steps.
inline constexpr int64_t ClockElements(int64_t capacity) { return kClockSums + 1 + capacity; }

TF_MAVG_INLINE bool IsClockFull(const double* clock, int64_t elements) {
  return ClockElements(static_cast<int64_t>(clock[kClockSteps])) >= elements;
}

TF_MAVG_INLINE void RestartClock(double* clock) {
  for (int i = 0; i <= kClockSums; ++i) clock[i] = 0;
}

// Notes a step, for which there is room. `log_decay` is log1p(-rate), and not looked at where the
// rate is kCopy. At the rate kKeep nothing moves, and nothing is noted.
TF_MAVG_INLINE void AdvanceClock(double* clock, float rate, double log_decay) {
  if (rate == kKeep) return;
  const int64_t before = static_cast<int64_t>(clock[kClockSteps]);
  const double sum = clock[kClockSums + before];
  clock[kClockSteps] = static_cast<double>(before + 1);
  if (rate == kCopy) {
    clock[kClockSums + before + 1] = sum;
    clock[kClockLastCopy] = static_cast<double>(before + 1);
    return;
  }
  const double added = log_decay - clock[kClockLost];
  const double next = sum + added;
  clock[kClockLost] = (next - sum) - added;
  clock[kClockSums + before + 1] = next;
}

// 1 - exp(x) for x <= 0, to a few units in the last place: no library's function, so that host and
// device have the same bits. Below some exp(-41) it is 1.
TF_MAVG_INLINE double OneMinusExp(double x) {
  if (x < -41.0) return 1.0;
  // x = k ln 2 + r, with k ln 2 in two parts, the first of which is exact.
  constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer.
  const double k = (x * 1.4426950408889634 + kRounder) - kRounder;
  const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  // Taylor's series of (exp(r) - 1 - r) / r^2; |r| is at most 0.35, so what is left out is below
  // 1e-17 of the sum.
  constexpr double kInverseFactorials[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
      1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2};
  double series = 0;
  for (int i = 0; i < 12; ++i) series = series * r + kInverseFactorials[i];
  const double exp_minus_1 = r + r * r * series;
  const uint64_t bits = static_cast<uint64_t>(1023 + static_cast<int64_t>(k)) << 52;
  double power;  // 2^k
  __builtin_memcpy(&power, &bits, sizeof power);
  return (1.0 - power) - power * exp_minus_1;
}

// The rate of all steps of the clock that a row has not seen, as one move: kKeep if there are none.
TF_MAVG_INLINE double RateSince(const double* clock, int64_t seen) {
  const int64_t steps = static_cast<int64_t>(clock[kClockSteps]);
  if (seen >= steps) return kKeep;
  if (static_cast<double>(seen) < clock[kClockLastCopy]) return kCopy;
  return OneMinusExp(clock[kClockSums + steps] - clock[kClockSums + seen]);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_LAZY_ROWS_H_
