// How lists become tables, one for each launch: the host's half of cuda/tables/table.h.
//
// Stateless. Empty positions have no part in it.

#ifndef TF_MAVG_CUDA_LAUNCH_TABLE_PLAN_H_
#define TF_MAVG_CUDA_LAUNCH_TABLE_PLAN_H_

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "cc/core/chunk_map.h"
#include "cc/core/lists.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/images.h"
#include "cuda/tables/table.h"

namespace tf_mavg {

// Bytes of a chunk on the widest side: four 16-byte accesses of every thread of a block, so that a
// block looks up its position rarely, and even a small model makes several chunks for every block.
inline constexpr int32_t kGpuChunkBytes = 4 * 16 * kBlockThreads;

// More chunks in one table, from 16 TiB up, are too many: chunks grow instead. Below 2^31 by far,
// so that the kernels' 32-bit numbers of chunks and blocks cannot overflow.
inline constexpr int64_t kMostChunks = int64_t{1} << 30;

template <typename Table>
int32_t TotalChunks(const Table& table) {
  return table.first_chunk[table.size];
}

// Numbers the chunks of a table whose addresses are filled in. These have at most 57 bits, so a
// chunk has fewer than 2^30 elements even when it grows.
template <typename Table>
void NumberChunks(const std::vector<int64_t>& elements, int32_t chunk_elements, Table* table) {
  const auto total = [&](int64_t chunk) {
    int64_t chunks = 0;
    for (const int64_t count : elements) chunks += ChunksOf(count, chunk);
    return chunks;
  };
  while (total(chunk_elements) > kMostChunks) chunk_elements *= 2;
  table->chunk_elements = chunk_elements;
  table->first_chunk[0] = 0;
  for (int i = 0; i < table->size; ++i) {
    const int64_t chunks = ChunksOf<int64_t>(elements[i], chunk_elements);
    table->first_chunk[i + 1] = table->first_chunk[i] + static_cast<int32_t>(chunks);
    table->last_chunk_elements[i] =
        static_cast<int32_t>(elements[i] - (chunks - 1) * chunk_elements);
  }
}

// Fills tables with the positions of the lists, in order, each as full as can be, and calls
// launch(const Table&) for each until one returns an error. An element of the widest side has
// element_bytes. The lists are as deep as the table.
template <typename Table, typename Launch>
GpuStatus ForEachTable(const Lists& lists, int64_t element_bytes,
                       const std::array<void*, kOperands>& operands, const Launch& launch) {
  Table table;
  for (int i = 0; i < kOperands; ++i) table.operands[i] = operands.at(i);
  table.size = 0;
  std::vector<int64_t> elements;
  elements.reserve(Table::kCapacity);
  for (int i = 0; i < lists.size(); ++i) {
    if (lists.elements()[i] > 0) {
      for (int side = 0; side < Table::kDepth; ++side) {
        table.sides[side][table.size] = lists.buffer(side, i);
      }
      elements.push_back(lists.elements()[i]);
      ++table.size;
    }
    const bool is_full = table.size == Table::kCapacity || i + 1 == lists.size();
    if (!is_full || table.size == 0) continue;
    NumberChunks(elements, static_cast<int32_t>(kGpuChunkBytes / element_bytes), &table);
    if (GpuStatus status = launch(table); !status.ok()) return status;
    table.size = 0;
    elements.clear();
  }
  return {};
}

// Calls use(static_cast<const Table<depth, bytes>*>(nullptr)) for the type of table that serves
// lists of this depth in this form: one side, two, or up to four averages and their variable.
template <typename Use>
GpuStatus WithTableType(int depth, TableForm form, const Use& use) {
  const auto in_form = [&](auto of_depth) {
    constexpr int kDepth = decltype(of_depth)::value;
    return form == TableForm::kLarge
               ? use(static_cast<const Table<kDepth, kLargeTableBytes>*>(nullptr))
               : use(static_cast<const Table<kDepth, kSmallTableBytes>*>(nullptr));
  };
  switch (depth) {
    case 1:
      return in_form(std::integral_constant<int, 1>());
    case 2:
      return in_form(std::integral_constant<int, 2>());
    case 3:
      return in_form(std::integral_constant<int, 3>());
    case 4:
      return in_form(std::integral_constant<int, 4>());
    case 5:
      return in_form(std::integral_constant<int, 5>());
  }
  return {GpuStatus::Code::kFailed, "No kernel takes " + std::to_string(depth) + " lists at once."};
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAUNCH_TABLE_PLAN_H_
