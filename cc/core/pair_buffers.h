// The memory of one pair, on whichever device it lies. It owns nothing.

#ifndef TF_MAVG_CC_CORE_PAIR_BUFFERS_H_
#define TF_MAVG_CC_CORE_PAIR_BUFFERS_H_

#include <cstdint>

namespace tf_mavg {

struct PairBuffers {
  void* first;
  void* second;
  int64_t elements;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_PAIR_BUFFERS_H_
