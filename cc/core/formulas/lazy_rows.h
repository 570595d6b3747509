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

#ifndef TF_MAVG_CC_CORE_FORMULAS_LAZY_ROWS_H_
#define TF_MAVG_CC_CORE_FORMULAS_LAZY_ROWS_H_

#include <cstdint>

#include "cc/core/formulas/moving_average.h"
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
TF_MAVG_INLINE constexpr int64_t ClockElements(int64_t capacity) {
  return kClockSums + 1 + capacity;
}

// An average with its variable, whose first dimension is that of the rows.
struct RowTable {
  void* average;
  const void* variable;
  int64_t* seen;  // The counter of each row.
  double* clock;
  int64_t clock_elements;
  int64_t rows;
  int64_t row_elements;
};

// Some of its rows, by their indices: in any order, each any number of times.
struct RowList {
  const void* indices;
  int64_t count;
  int32_t index_bytes;  // Of int32 or int64.
};

// ln 2 in two parts; products of the first one with an exponent of a float64 are exact.
inline constexpr double kLn2High = 6.93147180369123816490e-01;
inline constexpr double kLn2Low = 1.90821492927058770002e-10;

TF_MAVG_INLINE bool IsClockFull(const double* clock, int64_t elements) {
  return ClockElements(static_cast<int64_t>(clock[kClockSteps])) >= elements;
}

TF_MAVG_INLINE void RestartClock(double* clock) {
  for (int i = 0; i <= kClockSums; ++i) clock[i] = 0;
}

// log1p(f), by so many terms of its series.
template <int terms>
TF_MAVG_INLINE double Log1pSeries(double f) {
  double series = 0;
#if defined(__CUDACC__)
#pragma unroll  // Else the device would divide.
#endif
  for (int n = terms; n > 0; --n) series = series * f + (n % 2 == 1 ? 1.0 : -1.0) / n;
  return f * series;
}

// The logarithm of the decay 1 - rate, for a rate in (0, 1), to a few units in the last place: no
// library's function, so that host and device have the same bits.
TF_MAVG_INLINE double LogOfDecay(float rate) {
  const double wide = rate;
  if (wide <= 1.0 / 64) return Log1pSeries<9>(-wide);  // What is left out is below 2^-57 of it.
  const double decay = 1.0 - wide;                     // Exact: it has at most 30 bits.
  // decay = 2^k (1 + f), with |f| below 0.4143.
  uint64_t bits;
  __builtin_memcpy(&bits, &decay, sizeof bits);
  const uint64_t above = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);  // 1 less sqrt(1/2).
  const double k = static_cast<double>(static_cast<int64_t>(above >> 52) - 1023);
  bits = (above & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
  double mantissa;
  __builtin_memcpy(&mantissa, &bits, sizeof mantissa);
  return k * kLn2High + (k * kLn2Low + Log1pSeries<42>(mantissa - 1.0));
}

// Notes a step, for which there is room. At the rate kKeep nothing moves, and nothing is noted.
TF_MAVG_INLINE void AdvanceClock(double* clock, float rate) {
  if (rate == kKeep) return;
  const int64_t before = static_cast<int64_t>(clock[kClockSteps]);
  const double sum = clock[kClockSums + before];
  clock[kClockSteps] = static_cast<double>(before + 1);
  if (rate == kCopy) {
    clock[kClockSums + before + 1] = sum;
    clock[kClockLastCopy] = static_cast<double>(before + 1);
    return;
  }
  const double added = LogOfDecay(rate) - clock[kClockLost];
  const double next = sum + added;
  clock[kClockLost] = (next - sum) - added;
  clock[kClockSums + before + 1] = next;
}

// 1 - exp(x) for x <= 0, to a few units in the last place: no library's function, so that host and
// device have the same bits. Below some exp(-41) it is 1.
TF_MAVG_INLINE double OneMinusExp(double x) {
  if (x < -41.0) return 1.0;
  // x = k ln 2 + r
  constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer.
  const double k = (x * 1.4426950408889634 + kRounder) - kRounder;
  const double r = (x - k * kLn2High) - k * kLn2Low;
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

#endif  // TF_MAVG_CC_CORE_FORMULAS_LAZY_ROWS_H_
