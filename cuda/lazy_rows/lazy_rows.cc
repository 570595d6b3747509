// Puts tables of rows into launches. See lazy_rows.h for the contract.

#include "cuda/lazy_rows/lazy_rows.h"

#include <limits>
#include <string>

#include "cc/core/chunk_map.h"
#include "cuda/lazy_rows/row_tables.h"
#include "cuda/tables/table.h"

namespace tf_mavg {
namespace {

constexpr int kLog2OfWarp = 5;

// As many threads as a row has packs of 16 bytes or, where not every row begins with one, elements;
// up to a warp, rounded up to a power of 2.
int Log2OfGroup(const RowTable& table, int64_t average_bytes) {
  const int64_t pack = 16 / average_bytes;
  const int64_t parts =
      table.row_elements % pack == 0 ? table.row_elements / pack : table.row_elements;
  int log2 = 0;
  while (log2 < kLog2OfWarp && (int64_t{1} << log2) < parts) ++log2;
  return log2;
}

// Fills structs with the tables, in order, and calls launch(const RowTables&) for each until one
// returns an error. `lists` are one a table, or empty: then all rows are meant.
template <typename Launch>
GpuStatus ForEachRowTables(Dtypes dtypes, const std::vector<RowTable>& tables,
                           const std::vector<RowList>& lists, const float* rate,
                           const Launch& launch) {
  RowTables filled;
  filled.rate = rate;
  filled.size = 0;
  filled.first_chunk[0] = 0;
  for (size_t i = 0; i < tables.size(); ++i) {
    const RowTable& table = tables[i];
    if (table.row_elements > std::numeric_limits<int32_t>::max()) {
      return {GpuStatus::Code::kFailed, "A row has at most 2^31 - 1 elements. Received: " +
                                            std::to_string(table.row_elements) + "."};
    }
    ListedRows& listed = filled.tables[filled.size];
    listed.table = table;
    listed.list = lists.empty() ? RowList{nullptr, table.rows, 0} : lists[i];
    listed.log2_of_group = Log2OfGroup(table, FactsOf(dtypes).average_bytes);
    if (lists.empty() || listed.list.count > 0) {  // Of no rows, there is still a clock.
      const int64_t rows_a_chunk = kBlockThreads >> listed.log2_of_group;
      filled.first_chunk[filled.size + 1] =
          filled.first_chunk[filled.size] + ChunksOf(listed.list.count, rows_a_chunk);
      ++filled.size;
    }
    const bool is_full = filled.size == RowTables::kCapacity || i + 1 == tables.size();
    if (!is_full || filled.size == 0) continue;
    if (GpuStatus status = launch(filled); !status.ok()) return status;
    filled.size = 0;
  }
  return {};
}

GpuStatus LaunchOnRows(Dtypes dtypes, const RowTables& tables, const LaunchSettings& settings) {
  const int64_t chunks = tables.first_chunk[tables.size];
  if (chunks == 0) return {};
  return LaunchOn(std::string("catch_up_rows_") + FactsOf(dtypes).name, &tables, chunks, settings);
}

GpuStatus LaunchOnAllRowsAndClocks(Dtypes dtypes, const std::vector<RowTable>& tables,
                                   const float* rate, const LaunchSettings& settings) {
  return ForEachRowTables(dtypes, tables, {}, rate, [&](const RowTables& filled) {
    GpuStatus status = LaunchOnRows(dtypes, filled, settings);
    return status.ok() ? LaunchOn("advance_row_clocks", &filled, 1, settings) : status;
  });
}

}  // namespace

GpuStatus LaunchCatchUpRows(Dtypes dtypes, const std::vector<RowTable>& tables,
                            const std::vector<RowList>& lists, const LaunchSettings& settings) {
  return ForEachRowTables(dtypes, tables, lists, nullptr, [&](const RowTables& filled) {
    return LaunchOnRows(dtypes, filled, settings);
  });
}

GpuStatus LaunchCatchUpAllRows(Dtypes dtypes, const std::vector<RowTable>& tables,
                               const LaunchSettings& settings) {
  return LaunchOnAllRowsAndClocks(dtypes, tables, nullptr, settings);
}

GpuStatus LaunchAdvanceRowClocks(Dtypes dtypes, const std::vector<RowTable>& tables,
                                 const float* rate, const LaunchSettings& settings) {
  return LaunchOnAllRowsAndClocks(dtypes, tables, rate, settings);
}

}  // namespace tf_mavg
