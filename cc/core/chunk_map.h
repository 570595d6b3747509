// From the number of a chunk to the pair it belongs to, for host and device code alike.
//
// The pairs of an op are cut into chunks, numbered through. first_chunk[i] is the number of the
// first chunk of pair i, so the array is a prefix sum and never decreases. An empty pair owns no
// chunk: its entry equals the next one.

#ifndef TF_MAVG_CC_CORE_CHUNK_MAP_H_
#define TF_MAVG_CC_CORE_CHUNK_MAP_H_

#include "cc/core/portability.h"

namespace tf_mavg {

// Chunks of chunk_elements that cover a pair of the given number of elements.
template <typename Count>
TF_MAVG_INLINE Count ChunksOf(Count elements, Count chunk_elements) {
  return elements / chunk_elements + (elements % chunk_elements != 0 ? 1 : 0);
}

// The last pair whose first chunk is not beyond `chunk`. Needs 0 <= chunk < total chunks and
// pairs >= 1; empty pairs are never returned. O(log pairs).
template <typename Count>
TF_MAVG_INLINE int PairOfChunk(const Count* first_chunk, int pairs, Count chunk) {
  int low = 0;
  int high = pairs;  // first_chunk[low] <= chunk < first_chunk[high], where [pairs] is the total.
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (first_chunk[middle] <= chunk) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CHUNK_MAP_H_
