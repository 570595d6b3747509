// The plan of one pass over lists on the host: chunks of equal size over buffers of any size.
//
// A plan owns its arrays, is immutable once built, and may be read by many threads at once.
// Threads share a pass by taking ranges of chunk numbers; no two ranges touch the same element.

#ifndef TF_MAVG_CC_CORE_CHUNK_PLAN_H_
#define TF_MAVG_CC_CORE_CHUNK_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "cc/core/chunk_map.h"

namespace tf_mavg {

// Elements of one chunk on the CPU: 96 KiB of float32 traffic, some 10 microseconds of work. Small
// beside a pass of which threads are to have equal parts.
inline constexpr int64_t kCpuChunkElements = 8192;

class ChunkPlan {
 public:
  // Elements at each position; chunk_elements > 0.
  ChunkPlan(std::vector<int64_t> elements, int64_t chunk_elements)
      : chunk_elements_(chunk_elements),
        elements_(std::move(elements)),
        first_chunk_(elements_.size() + 1) {
    for (size_t i = 0; i < elements_.size(); ++i) {
      first_chunk_[i + 1] = first_chunk_[i] + ChunksOf(elements_[i], chunk_elements_);
      total_elements_ += elements_[i];
    }
  }

  int64_t chunks() const { return first_chunk_.back(); }
  int64_t total_elements() const { return total_elements_; }

  // Calls span(position, offset, count) for the elements of chunks [begin, end), in order; chunks
  // of one position that follow each other come as one span.
  template <typename Span>
  void ForEachSpan(int64_t begin, int64_t end, Span span) const {
    if (begin >= end) return;
    int position = PositionOfChunk(first_chunk_.data(), static_cast<int>(elements_.size()), begin);
    for (int64_t chunk = begin; chunk < end; ++position) {
      const int64_t last = std::min(end, first_chunk_[position + 1]);
      if (last <= chunk) continue;  // An empty position.
      const int64_t offset = (chunk - first_chunk_[position]) * chunk_elements_;
      const int64_t stop =
          std::min((last - first_chunk_[position]) * chunk_elements_, elements_[position]);
      span(position, offset, stop - offset);
      chunk = last;
    }
  }

 private:
  const int64_t chunk_elements_;
  const std::vector<int64_t> elements_;
  std::vector<int64_t> first_chunk_;  // One more than positions; the last is the number of chunks.
  int64_t total_elements_ = 0;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CHUNK_PLAN_H_
