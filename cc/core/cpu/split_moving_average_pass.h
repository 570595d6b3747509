// What the update of split averages does to the chunks of its lists on the CPU; see cpu_pass.h.

#ifndef TF_MAVG_CC_CORE_CPU_SPLIT_MOVING_AVERAGE_PASS_H_
#define TF_MAVG_CC_CORE_CPU_SPLIT_MOVING_AVERAGE_PASS_H_

#include <algorithm>
#include <cstdint>

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/core/formulas/moving_average.h"
#include "cc/core/lists.h"
#include "cc/core/portability.h"

namespace tf_mavg {

// The first sides hold the averages as bfloat16, as many the remainders of each, the last one the
// variables. An element of any of them has two bytes.
class SplitMovingAveragePass {
 public:
  // `rates`: one for each side of averages.
  SplitMovingAveragePass(const CpuKernels& kernels, const Lists& lists, const float* rates)
      : update_(kernels.split_moving_average),
        lists_(lists),
        averages_((lists.depth() - 1) / 2),
        rates_(rates) {}

  // Asks memory for what a pass over these lists will touch first at a position.
  TF_MAVG_INLINE static void PrefetchStarts(const Lists& lists, int position) {
    for (int side = 0; side < lists.depth(); ++side) {
      PrefetchStart(lists.buffer(side, position), lists.elements()[position] * kElementBytes);
    }
  }

  // What is moved for each element of a variable.
  int64_t bytes_an_element() const { return (4 * averages_ + 1) * kElementBytes; }

  // Block by block, so that all averages of a variable find its block in the first cache.
  void operator()(int position, int64_t offset, int64_t count) const {
    constexpr int64_t kBlock = kBlockBytes / kElementBytes;
    for (const int64_t end = offset + count; offset < end; offset += kBlock) {
      const int64_t ahead = offset + kBlocksAhead * kBlock;
      for (int side = 0; side < lists_.depth(); ++side) {
        PrefetchBlock(Address(side, position, ahead), (end - ahead) * kElementBytes);
      }
      const int64_t elements = std::min(kBlock, end - offset);
      for (int i = 0; i < averages_; ++i) {
        if (rates_[i] == kKeep) continue;
        update_(Address(i, position, offset), Address(averages_ + i, position, offset),
                Address(2 * averages_, position, offset), elements, rates_[i]);
      }
    }
  }

 private:
  static constexpr int64_t kElementBytes = 2;

  void* Address(int side, int position, int64_t offset) const {
    return Advanced(lists_.buffer(side, position), offset * kElementBytes);
  }

  const SplitMovingAverageFunction update_;
  const Lists& lists_;
  const int averages_;
  const float* const rates_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_SPLIT_MOVING_AVERAGE_PASS_H_
