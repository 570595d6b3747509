// From the number of a chunk to the position it belongs to, for host and device code alike.
//
// The buffers at each position of an operation's lists are cut into chunks, numbered through.
// first_chunk[i] is the number of the first chunk of position i, so the array is a prefix sum and
// never decreases. An empty position owns no chunk: its entry equals the next one.

#ifndef TF_MAVG_CC_CORE_CHUNK_MAP_H_
#define TF_MAVG_CC_CORE_CHUNK_MAP_H_

#include "cc/core/portability.h"

namespace tf_mavg {

// Chunks of chunk_elements that cover the given number of elements.
template <typename Count>
TF_MAVG_INLINE Count ChunksOf(Count elements, Count chunk_elements) {
  return elements / chunk_elements + (elements % chunk_elements != 0 ? 1 : 0);
}

// The last position whose first chunk is not beyond `chunk`. Needs 0 <= chunk < total chunks and
// size >= 1; empty positions are never returned. O(log size).
template <typename Count>
TF_MAVG_INLINE int PositionOfChunk(const Count* first_chunk, int size, Count chunk) {
  int low = 0;
  int high = size;  // first_chunk[low] <= chunk < first_chunk[high], where [size] is the total.
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
