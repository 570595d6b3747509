// Averages of which a step touches some rows, on a GPU: rows are caught up, and clocks count steps.
// See cc/core/formulas/lazy_rows.h for the rule.
//
// A group of threads has a row. Its first thread exchanges the row's counter and tells the others
// the rate, so a row that is named twice moves once, whichever group comes first. The host reads no
// device memory: whether a clock is full is found here, by every block. Clocks are read by the
// kernels on rows and written by AdvanceRowClocks alone, which comes after them in the stream.
//
// Bit for bit the results of cc/core/cpu/lazy_rows_pass.h, but for NaNs as in moving_average.cuh.

#ifndef TF_MAVG_CUDA_LAZY_ROWS_LAZY_ROWS_CUH_
#define TF_MAVG_CUDA_LAZY_ROWS_LAZY_ROWS_CUH_

#include <cstdint>

#include "cc/core/chunk_map.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cc/core/formulas/moving_average.h"
#include "cuda/lazy_rows/row_tables.h"
#include "cuda/moving_average/moving_average.cuh"
#include "cuda/tables/table.h"
#include "cuda/tables/walker.cuh"

namespace tf_mavg {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int64_t kNoRow = -1;

// Whether a clock must start anew before a step of this rate is noted; at no rate, whether any row
// can be behind.
__device__ __forceinline__ bool MustCatchUp(const RowTable& table, const float* rate) {
  if (rate == nullptr) return table.clock[kClockSteps] != 0;
  return *rate != kKeep && IsClockFull(table.clock, table.clock_elements);
}

// The row at a place of a list. An index of no row is kNoRow: it is left out, as TensorFlow's
// scatters on a GPU do.
__device__ __forceinline__ int64_t RowAt(const ListedRows& listed, int64_t place) {
  const RowList& list = listed.list;
  if (place >= list.count) return kNoRow;
  if (list.indices == nullptr) return place;
  const int64_t row = list.index_bytes == 4 ? static_cast<const int32_t*>(list.indices)[place]
                                            : static_cast<const int64_t*>(list.indices)[place];
  return row >= 0 && row < listed.table.rows ? row : kNoRow;
}

// The rate at which a row catches up, which has seen all steps from now on.
__device__ __forceinline__ double TakeRate(const ListedRows& listed, int64_t row) {
  const RowTable& table = listed.table;
  int64_t seen;
  if (listed.list.indices == nullptr) {  // The clock starts anew.
    seen = table.seen[row];
    table.seen[row] = 0;
  } else {
    const auto steps = static_cast<unsigned long long>(table.clock[kClockSteps]);
    seen = static_cast<int64_t>(
        atomicExch(reinterpret_cast<unsigned long long*>(table.seen + row), steps));
  }
  return RateSince(table.clock, seen);
}

template <typename Average, typename Variable>
__device__ __forceinline__ void CatchUpRows(const RowTables& tables) {
  using Operation = MovingAverage<Average, Variable, 1>;
  using Compute = typename Operation::Compute;
  const int64_t chunks = tables.first_chunk[tables.size];
  // Every thread of a warp takes every turn, since all take part in the shuffle.
  for (int64_t number = blockIdx.x; number < chunks; number += gridDim.x) {
    const int position = PositionOfChunk(tables.first_chunk, tables.size, number);
    const ListedRows& listed = tables.tables[position];
    const RowTable& table = listed.table;
    if (!MustCatchUp(table, tables.rate)) {  // Nearly always so: on to the next table, in one turn.
      const int64_t others = tables.first_chunk[position + 1] - 1 - number;
      number += others / gridDim.x * gridDim.x;
      continue;
    }
    const int group = 1 << listed.log2_of_group;
    const int first = threadIdx.x & (group - 1);
    const int64_t place =
        (number - tables.first_chunk[position]) * (kBlockThreads >> listed.log2_of_group) +
        (threadIdx.x >> listed.log2_of_group);
    const int64_t row = RowAt(listed, place);
    Compute rate = kKeep;
    if (first == 0 && row != kNoRow) rate = static_cast<Compute>(TakeRate(listed, row));
    rate = __shfl_sync(kAllLanes, rate, 0, group);
    if (rate == kKeep) continue;
    Chunk<Operation> chunk;
    const int64_t offset = row * table.row_elements;
    chunk.sides[0] = static_cast<Average*>(table.average) + offset;
    chunk.sides[1] = const_cast<Variable*>(static_cast<const Variable*>(table.variable)) + offset;
    Operation operation(rate);
    WalkChunk(chunk, static_cast<int32_t>(table.row_elements), operation, first, group);
  }
}

// Notes a step of the rate in the clocks, which start anew if they are full; at no rate, they do.
__device__ __forceinline__ void AdvanceRowClocks(const RowTables& tables) {
  const int position = threadIdx.x;
  static_assert(RowTables::kCapacity <= kBlockThreads, "a thread for each clock");
  if (blockIdx.x != 0 || position >= tables.size) return;
  const RowTable& table = tables.tables[position].table;
  if (MustCatchUp(table, tables.rate)) RestartClock(table.clock);
  if (tables.rate != nullptr) AdvanceClock(table.clock, *tables.rate);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAZY_ROWS_LAZY_ROWS_CUH_
