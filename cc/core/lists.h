// The memory that an operation works on, on whichever device it lies: lists side by side.
//
// There are `depth` sides, each a list of `size` buffers. The buffers with one position belong
// together and have one number of elements: the averages of a variable, then the variable. It owns
// no buffer.

#ifndef TF_MAVG_CC_CORE_LISTS_H_
#define TF_MAVG_CC_CORE_LISTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tf_mavg {

class Lists {
 public:
  Lists(int depth, int size)
      : depth_(depth), buffers_(static_cast<size_t>(depth) * size), elements_(size) {}

  int depth() const { return depth_; }
  int size() const { return static_cast<int>(elements_.size()); }

  void* buffer(int side, int position) const { return buffers_[Index(side, position)]; }
  void set_buffer(int side, int position, const void* buffer) {
    buffers_[Index(side, position)] = const_cast<void*>(buffer);
  }
  const std::vector<int64_t>& elements() const { return elements_; }
  void set_elements(int position, int64_t elements) { elements_[position] = elements; }

 private:
  // The buffers of one position lie together, as they are used.
  size_t Index(int side, int position) const {
    return static_cast<size_t>(position) * depth_ + side;
  }

  int depth_;
  std::vector<void*> buffers_;
  std::vector<int64_t> elements_;  // By position.
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_LISTS_H_
