// What an operation does to the chunks of its lists on the CPU, for the ops and the Python module
// alike: a pass is called with spans of a ChunkPlan over its lists' elements, by one thread or
// many.
//
// A new rule is one more class here. A pass borrows what it is made from and changes nothing of it.

#ifndef TF_MAVG_CC_CORE_CPU_CPU_PASS_H_
#define TF_MAVG_CC_CORE_CPU_CPU_PASS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/dtypes.h"
#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/random_bits.h"
#include "cc/core/lists.h"
#include "cc/core/portability.h"

namespace tf_mavg {

// Asks memory for the start of a buffer that a pass will soon get to. Where a buffer is longer than
// this, the processor sees by then that it is read from front to back, and asks by itself.
//
// Always inlined: g++ takes a function that only prefetches for one without effects, and drops
// calls.
TF_MAVG_INLINE void PrefetchStart(const void* buffer, int64_t bytes) {
  constexpr int64_t kStart = 256;
  constexpr int64_t kCacheLine = 64;
  for (int64_t i = 0; i < std::min(bytes, kStart); i += kCacheLine) {
    __builtin_prefetch(static_cast<const char*>(buffer) + i, 1);
  }
}

// The processor's own asking ends with a page: the next one may be anywhere in memory. So a pass
// works through blocks of a page and asks for the beginning of one to come, while the processor is
// busy with the end of this one. Of a block, an eighth is asked for, to the second cache: a quarter
// was measured to be slower, most of all in half precision, all of it to be slower than none, and
// less or nearer brings less. Farther brings no more.
inline constexpr int64_t kBlockBytes = 4096;  // The usual page; huge pages are not slowed.
inline constexpr int64_t kBlocksAhead = 3;

TF_MAVG_INLINE void PrefetchBlock(const void* block, int64_t bytes) {
  constexpr int64_t kBeginning = kBlockBytes / 8;
  constexpr int64_t kCacheLine = 64;
  for (int64_t i = 0; i < std::min(bytes, kBeginning); i += kCacheLine) {
    __builtin_prefetch(static_cast<const char*>(block) + i, 0, 2);
  }
}

inline void* Advanced(void* buffer, int64_t bytes) { return static_cast<char*>(buffer) + bytes; }

// The first sides hold the averages, the last one their variables: how a pass goes over both.
class AveragesPass {
 public:
  // `rates`: one for each side of averages.
  AveragesPass(Dtypes dtypes, const Lists& lists, const float* rates)
      : facts_(FactsOf(dtypes)), lists_(lists), averages_(lists.depth() - 1), rates_(rates) {}

  // Asks memory for what a pass over these lists will touch first at a position.
  TF_MAVG_INLINE static void PrefetchStarts(Dtypes dtypes, const Lists& lists, int position) {
    const DtypesFacts& facts = FactsOf(dtypes);
    const int64_t elements = lists.elements()[position];
    const int averages = lists.depth() - 1;
    for (int side = 0; side < averages; ++side) {
      PrefetchStart(lists.buffer(side, position), elements * facts.average_bytes);
    }
    PrefetchStart(lists.buffer(averages, position), elements * facts.variable_bytes);
  }

  // What is moved for each element of a variable.
  int64_t bytes_an_element() const {
    return 2 * averages_ * facts_.average_bytes + facts_.variable_bytes;
  }

  float rate(int side) const { return rates_[side]; }

  // Calls update(side, average, variable, offset, count) block by block, so that all averages of a
  // variable find its block in the first cache; not for averages that are kept.
  template <typename Update>
  TF_MAVG_INLINE void ForEachBlock(int position, int64_t offset, int64_t count,
                                   const Update& update) const {
    const int64_t block = kBlockBytes / std::max(facts_.average_bytes, facts_.variable_bytes);
    for (const int64_t end = offset + count; offset < end; offset += block) {
      PrefetchAhead(position, offset + kBlocksAhead * block, end);
      const int64_t elements = std::min(block, end - offset);
      for (int side = 0; side < averages_; ++side) {
        if (rate(side) == kKeep) continue;
        update(side, Average(side, position, offset), Variable(position, offset), offset, elements);
      }
    }
  }

 private:
  void* Average(int side, int position, int64_t offset) const {
    return Advanced(lists_.buffer(side, position), offset * facts_.average_bytes);
  }
  const void* Variable(int position, int64_t offset) const {
    return Advanced(lists_.buffer(averages_, position), offset * facts_.variable_bytes);
  }

  TF_MAVG_INLINE void PrefetchAhead(int position, int64_t offset, int64_t end) const {
    for (int side = 0; side < averages_; ++side) {
      PrefetchBlock(Average(side, position, offset), (end - offset) * facts_.average_bytes);
    }
    PrefetchBlock(Variable(position, offset), (end - offset) * facts_.variable_bytes);
  }

  const DtypesFacts& facts_;
  const Lists& lists_;
  const int averages_;
  const float* const rates_;
};

class MovingAveragePass : public AveragesPass {
 public:
  MovingAveragePass(const CpuKernels& kernels, Dtypes dtypes, const Lists& lists,
                    const float* rates)
      : AveragesPass(dtypes, lists, rates),
        update_(kernels.moving_average[static_cast<int>(dtypes)]) {}

  void operator()(int position, int64_t offset, int64_t count) const {
    ForEachBlock(position, offset, count,
                 [&](int side, void* average, const void* variable, int64_t, int64_t elements) {
                   update_(average, variable, elements, rate(side));
                 });
  }

 private:
  const MovingAverageFunction update_;
};

// The same with stochastic rounding, for dtypes that have it.
class StochasticAveragePass : public AveragesPass {
 public:
  // `keys`: for each side of averages the numbers of its key.
  StochasticAveragePass(const CpuKernels& kernels, Dtypes dtypes, const Lists& lists,
                        const float* rates, const int64_t* keys)
      : AveragesPass(dtypes, lists, rates),
        update_(kernels.stochastic_average[static_cast<int>(dtypes)]) {
    for (int side = 0; side < lists.depth() - 1; ++side) {
      states_[side] = StateOf(keys + side * kKeyNumbers);
    }
  }

  void operator()(int position, int64_t offset, int64_t count) const {
    // A stream ends where the upper half of the offset changes.
    constexpr int64_t kStream = int64_t{1} << 32;
    while (count > 0) {
      const int64_t elements = std::min(count, kStream - offset % kStream);
      ForEachBlock(position, offset, elements,
                   [&](int side, void* average, const void* variable, int64_t begin, int64_t size) {
                     update_(average, variable, size, rate(side), StreamAt(states_[side], begin));
                   });
      offset += elements;
      count -= elements;
    }
  }

 private:
  const StochasticAverageFunction update_;
  uint64_t states_[kMostAverages];
};

// Two sides whose elements have element_bytes each.
class SwapPass {
 public:
  SwapPass(const CpuKernels& kernels, int64_t element_bytes, const Lists& lists)
      : swap_(kernels.swap), element_bytes_(element_bytes), lists_(lists) {}

  int64_t bytes_an_element() const { return 4 * element_bytes_; }

  void operator()(int position, int64_t offset, int64_t count) const {
    swap_(Advanced(lists_.buffer(0, position), offset * element_bytes_),
          Advanced(lists_.buffer(1, position), offset * element_bytes_), count * element_bytes_);
  }

 private:
  const SwapFunction swap_;
  const int64_t element_bytes_;
  const Lists& lists_;
};

// One side of variables, which are only read. Clears *all_finite at the first block that is not,
// and then reads no more.
class AllFinitePass {
 public:
  AllFinitePass(const CpuKernels& kernels, Dtypes dtypes, const Lists& lists,
                std::atomic<bool>* all_finite)
      : is_finite_(kernels.all_finite[static_cast<int>(dtypes)]),
        element_bytes_(FactsOf(dtypes).variable_bytes),
        lists_(lists),
        all_finite_(all_finite) {}

  // Asks memory for what a pass over these lists will touch first at a position.
  TF_MAVG_INLINE static void PrefetchStart(Dtypes dtypes, const Lists& lists, int position) {
    PrefetchBlock(lists.buffer(0, position),
                  lists.elements()[position] * FactsOf(dtypes).variable_bytes);
  }

  int64_t bytes_an_element() const { return element_bytes_; }

  void operator()(int position, int64_t offset, int64_t count) const {
    const int64_t block = kBlockBytes / element_bytes_;
    for (const int64_t end = offset + count; offset < end; offset += block) {
      if (!all_finite_->load(std::memory_order_relaxed)) return;
      const int64_t ahead = offset + kBlocksAhead * block;
      PrefetchBlock(Address(position, ahead), (end - ahead) * element_bytes_);
      if (!is_finite_(Address(position, offset), std::min(block, end - offset))) {
        all_finite_->store(false, std::memory_order_relaxed);
      }
    }
  }

 private:
  const void* Address(int position, int64_t offset) const {
    return Advanced(lists_.buffer(0, position), offset * element_bytes_);
  }

  const AllFiniteFunction is_finite_;
  const int64_t element_bytes_;
  const Lists& lists_;
  std::atomic<bool>* const all_finite_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_CPU_CPU_PASS_H_
