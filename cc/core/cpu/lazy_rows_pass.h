// Catches up rows of averages on the CPU, for the ops and the Python module alike: passes over a
// list of rows, or over all of them, by one thread or many. See cc/core/formulas/lazy_rows.h for
// the rule.
//
// A pass borrows what it is made from. The caller holds what guards the memory, has checked the
// indices, and restarts the clock after all rows have been caught up.

#ifndef TF_MAVG_CC_CORE_CPU_LAZY_ROWS_PASS_H_
#define TF_MAVG_CC_CORE_CPU_LAZY_ROWS_PASS_H_

#include <algorithm>
#include <cstdint>

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/core/dtypes.h"
#include "cc/core/formulas/lazy_rows.h"

namespace tf_mavg {

// What both passes do to a row.
class RowUpdate {
 public:
  RowUpdate(const CpuKernels& kernels, Dtypes dtypes, const RowTable& table)
      : update_(kernels.moving_average[static_cast<int>(dtypes)]),
        average_bytes_(FactsOf(dtypes).average_bytes * table.row_elements),
        variable_bytes_(FactsOf(dtypes).variable_bytes * table.row_elements),
        table_(table) {}

  // What is moved for a row that is behind, with its counter.
  int64_t bytes_a_row() const { return 2 * average_bytes_ + variable_bytes_ + 2 * sizeof(int64_t); }

  // Asks memory for the start of a row, into the second cache, which waits for more lines at once
  // than the first one does: measured, a pass takes a third less time.
  TF_MAVG_INLINE void Prefetch(int64_t row) const {
    constexpr int kToSecondCache = 2;
    __builtin_prefetch(table_.seen + row, 0, kToSecondCache);
    for (int64_t i = 0; i < std::min(average_bytes_, kStart); i += kCacheLine) {
      __builtin_prefetch(Advanced(table_.average, row * average_bytes_ + i), 0, kToSecondCache);
    }
    const auto* const variable = static_cast<const char*>(table_.variable) + row * variable_bytes_;
    for (int64_t i = 0; i < std::min(variable_bytes_, kStart); i += kCacheLine) {
      __builtin_prefetch(variable + i, 0, kToSecondCache);
    }
  }

  // Moves a row at a rate, unless that is kKeep.
  void operator()(int64_t row, double rate) const {
    if (rate == kKeep || table_.row_elements == 0) return;
    update_(Advanced(table_.average, row * average_bytes_),
            Advanced(const_cast<void*>(table_.variable), row * variable_bytes_),
            table_.row_elements, rate);
  }

 private:
  // What follows in a longer row, the processor asks for by itself.
  static constexpr int64_t kStart = 256;
  static constexpr int64_t kCacheLine = 64;

  const MovingAverageFunction update_;
  const int64_t average_bytes_;
  const int64_t variable_bytes_;
  const RowTable table_;
};

// The rows of a list, in any order, each any number of times.
template <typename Index>
class CatchUpRowsPass {
 public:
  CatchUpRowsPass(const CpuKernels& kernels, Dtypes dtypes, const RowTable& table,
                  const Index* indices)
      : update_(kernels, dtypes, table), table_(table), indices_(indices) {}

  int64_t bytes_a_row() const { return update_.bytes_a_row(); }

  // The rows at positions [begin, end) of the list. A row that two threads meet is the one's that
  // exchanges its counter first.
  //
  // Block by block: an exchange waits until all that was written before is in the cache, so those
  // of a block come before its rows are written; and rates do not wait for each other.
  void operator()(int64_t begin, int64_t end) const {
    constexpr int64_t kBlock = 32;
    const auto steps = static_cast<int64_t>(table_.clock[kClockSteps]);
    int64_t seen[kBlock];
    double rates[kBlock];
    Prefetch(begin, std::min(begin + kBlock, end));
    for (int64_t first = begin; first < end; first += kBlock) {
      const int64_t count = std::min(kBlock, end - first);
      const Index* const rows = indices_ + first;
      Prefetch(first + count, std::min(first + count + kBlock, end));
      for (int64_t i = 0; i < count; ++i) {
        seen[i] = __atomic_exchange_n(table_.seen + rows[i], steps, __ATOMIC_RELAXED);
      }
      for (int64_t i = 0; i < count; ++i) rates[i] = RateSince(table_.clock, seen[i]);
      for (int64_t i = 0; i < count; ++i) update_(rows[i], rates[i]);
    }
  }

 private:
  TF_MAVG_INLINE void Prefetch(int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i) update_.Prefetch(indices_[i]);
  }

  const RowUpdate update_;
  const RowTable table_;
  const Index* const indices_;
};

// All rows. Their counters are 0 afterwards, as the clock's steps are to be.
class CatchUpAllRowsPass {
 public:
  CatchUpAllRowsPass(const CpuKernels& kernels, Dtypes dtypes, const RowTable& table)
      : update_(kernels, dtypes, table), table_(table) {}

  int64_t bytes_a_row() const { return update_.bytes_a_row(); }

  // Rows [begin, end).
  void operator()(int64_t begin, int64_t end) const {
    for (int64_t row = begin; row < end; ++row) {
      update_(row, RateSince(table_.clock, table_.seen[row]));
      table_.seen[row] = 0;
    }
  }

 private:
  const RowUpdate update_;
  const RowTable table_;
};

// Where the first index lies that is none of a row; `count` if there is none.
template <typename Index>
int64_t FirstWrongIndex(const Index* indices, int64_t count, int64_t rows) {
  const Index* const end = indices + count;
  return std::find_if(
             indices, end,
             [rows](Index index) { return index < 0 || static_cast<int64_t>(index) >= rows; }) -
         indices;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_LAZY_ROWS_PASS_H_
