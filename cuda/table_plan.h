// How the pairs of an op become tables, one for each launch: the host's half of pair_table.h.
//
// Stateless. Empty pairs have no part in it.

#ifndef TF_MAVG_CUDA_TABLE_PLAN_H_
#define TF_MAVG_CUDA_TABLE_PLAN_H_

#include <cstdint>
#include <vector>

#include "cc/core/chunk_map.h"
#include "cc/core/pair_buffers.h"
#include "cuda/gpu_status.h"
#include "cuda/pair_table.h"

namespace tf_mavg {

// Bytes of a chunk on the first side: four 16-byte accesses of every thread of a block, so that a
// block finds its pair rarely, and even a small model makes several chunks for every block.
inline constexpr int32_t kGpuChunkBytes = 4 * 16 * kBlockThreads;

// More chunks in one table, from 16 TiB up, are too many: chunks grow instead. Below 2^31 by far,
// so that the kernels' 32-bit numbers of chunks and blocks cannot overflow.
inline constexpr int64_t kMostChunks = int64_t{1} << 30;

template <typename Table>
int32_t TotalChunks(const Table& table) {
  return table.first_chunk[table.pairs];
}

// Numbers the chunks of a table whose pairs are filled in. Addresses have at most 57 bits, so a
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
  for (int i = 0; i < table->pairs; ++i) {
    const int64_t chunks = ChunksOf<int64_t>(elements[i], chunk_elements);
    table->first_chunk[i + 1] = table->first_chunk[i] + static_cast<int32_t>(chunks);
    table->last_chunk_elements[i] =
        static_cast<int32_t>(elements[i] - (chunks - 1) * chunk_elements);
  }
}

// Fills tables with the pairs, in order, each as full as can be, and calls launch(const Table&) for
// each until one returns an error. An element of the first side has first_bytes.
template <typename Table, typename Launch>
GpuStatus ForEachTable(const std::vector<PairBuffers>& pairs, int64_t first_bytes,
                       const float* decay, const Launch& launch) {
  Table table;
  table.decay = decay;
  table.pairs = 0;
  std::vector<int64_t> elements;
  elements.reserve(Table::kCapacity);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].elements > 0) {
      table.first[table.pairs] = pairs[i].first;
      table.second[table.pairs] = pairs[i].second;
      elements.push_back(pairs[i].elements);
      ++table.pairs;
    }
    const bool is_full = table.pairs == Table::kCapacity || i + 1 == pairs.size();
    if (!is_full || table.pairs == 0) continue;
    NumberChunks(elements, static_cast<int32_t>(kGpuChunkBytes / first_bytes), &table);
    if (GpuStatus status = launch(table); !status.ok()) return status;
    table.pairs = 0;
    elements.clear();
  }
  return {};
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_TABLE_PLAN_H_
