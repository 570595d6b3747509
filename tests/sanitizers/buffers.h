// Lists whose buffers lie on the heap, each of exactly the bytes that it needs: a sanitizer sees
// the first access beyond it.

#ifndef TF_MAVG_TESTS_SANITIZERS_BUFFERS_H_
#define TF_MAVG_TESTS_SANITIZERS_BUFFERS_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "cc/core/lists.h"

namespace tf_mavg {

// Around the lengths of vectors, of blocks and of chunks.
inline const std::vector<int64_t>& Sizes() {
  static const auto& sizes =
      *new std::vector<int64_t>{0,  1,  2,  3,  7,    8,    9,    15,   16,   17,   31,
                                32, 33, 63, 65, 1023, 1024, 1025, 4097, 8191, 8193, 20000};
  return sizes;
}

class Buffers {
 public:
  // One buffer for each side and each of Sizes(); the bytes of an element, by side.
  explicit Buffers(std::vector<int64_t> element_bytes)
      : element_bytes_(std::move(element_bytes)),
        lists_(static_cast<int>(element_bytes_.size()), static_cast<int>(Sizes().size())) {
    for (int side = 0; side < lists_.depth(); ++side) {
      for (int i = 0; i < lists_.size(); ++i) {
        const int64_t bytes = Bytes(side, i);
        memory_.emplace_back(new unsigned char[bytes]);
        // Small numbers of every dtype: no infinity and no NaN.
        for (int64_t byte = 0; byte < bytes; ++byte) {
          memory_.back()[byte] = static_cast<unsigned char>((7 * byte + 13 * i + side) % 59);
        }
        lists_.set_buffer(side, i, memory_.back().get());
        lists_.set_elements(i, Sizes()[i]);
      }
    }
  }

  const Lists& lists() const { return lists_; }
  int64_t Bytes(int side, int position) const { return Sizes()[position] * element_bytes_[side]; }

  bool SameAs(const Buffers& other) const {
    for (int side = 0; side < lists_.depth(); ++side) {
      for (int i = 0; i < lists_.size(); ++i) {
        const int64_t bytes = Bytes(side, i);
        if (std::memcmp(lists_.buffer(side, i), other.lists_.buffer(side, i), bytes) != 0) {
          return false;
        }
      }
    }
    return true;
  }

 private:
  std::vector<int64_t> element_bytes_;
  std::vector<std::unique_ptr<unsigned char[]>> memory_;
  Lists lists_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_TESTS_SANITIZERS_BUFFERS_H_
