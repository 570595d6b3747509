// What one launch on rows works on: a few tables with lists of their rows, passed by value as the
// kernel's only parameter, as table.h does with lists. Host and device both include this header.
//
// The rows of all lists are cut into chunks, one for a turn of a block: so many threads share a row
// as its packs of 16 bytes keep busy, and a block takes as many rows as it has such groups.

#ifndef TF_MAVG_CUDA_LAZY_ROWS_ROW_TABLES_H_
#define TF_MAVG_CUDA_LAZY_ROWS_ROW_TABLES_H_

#include <cstdint>

#include "cc/core/formulas/lazy_rows.h"

namespace tf_mavg {

inline constexpr int kRowTablesBytes = 4096;  // What every driver takes as parameters of a kernel.

struct ListedRows {
  RowTable table;
  RowList list;           // Indices are null for all rows, in order.
  int32_t log2_of_group;  // Threads of a row: 1 to 32.
};

struct RowTables {
  // Bytes beside the tables: the rate, the size, and the last chunk.
  static constexpr int kCapacity = (kRowTablesBytes - 8 - 8 - 8) / (sizeof(ListedRows) + 8);

  int64_t first_chunk[kCapacity + 1];  // See cc/core/chunk_map.h; [size] is the total.
  ListedRows tables[kCapacity];
  const float* rate;  // Of the step to be noted, in device memory; or null.
  int32_t size;
};

static_assert(sizeof(ListedRows) == 88 && sizeof(RowTables) <= kRowTablesBytes,
              "alike on host and device");

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAZY_ROWS_ROW_TABLES_H_
