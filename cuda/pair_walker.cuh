// Applies an operation to every element of every pair of a table: the one loop of all kernels.
//
// Blocks stride over the chunks of all pairs, so any grid does all the work; the threads of a block
// share a chunk. No two threads touch the same element, hence neither barriers nor atomics.
//
// An Operation has the types First and Second of the two elements, kWritesSecond, and
//   operator()(First* first, Second* second)  for one element of each, in registers;
//   operator()(Pack<First, n>* first, Pack<Second, n>* second)  for n neighbours.

#ifndef TF_MAVG_CUDA_PAIR_WALKER_CUH_
#define TF_MAVG_CUDA_PAIR_WALKER_CUH_

#include <cstdint>

#include "cc/core/chunk_map.h"
#include "cuda/pair_table.h"

namespace tf_mavg {

// Neighbours that are loaded and stored by one instruction.
template <typename Element, int count>
struct alignas(sizeof(Element) * count) Pack {
  static constexpr int kCount = count;
  Element elements[count];
};

template <typename PackType>
__device__ __forceinline__ bool IsAligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % alignof(PackType) == 0;
}

// Applies the operation to elements [begin, count) of two arrays of First and Second, which are
// elements or packs of them.
template <typename Operation, typename First, typename Second>
__device__ __forceinline__ void WalkArrays(First* first, Second* second, int32_t begin,
                                           int32_t count, const Operation& operation) {
  // Not unrolled: at 32 registers or a few more, as many threads are resident as the device can
  // hold, and their loads in flight at once (64 KiB a multiprocessor of 2,048 threads) are more
  // than its share of any GPU's memory bandwidth asks for.
#pragma unroll 1
  for (int32_t i = begin + static_cast<int32_t>(threadIdx.x); i < count; i += kBlockThreads) {
    First a = first[i];
    Second b = second[i];
    operation(&a, &b);
    first[i] = a;
    if (Operation::kWritesSecond) second[i] = b;
  }
}

// 16 bytes of the wider side at a time, as many elements of the other, so that the accesses of a
// warp are contiguous on both; element by element where an address does not allow that.
template <typename Operation>
__device__ __forceinline__ void WalkChunk(typename Operation::First* first,
                                          typename Operation::Second* second, int32_t count,
                                          const Operation& operation) {
  constexpr int kPack = 16 / sizeof(*first);
  static_assert(sizeof(*second) <= sizeof(*first), "the first side is the wider one");
  using FirstPack = Pack<typename Operation::First, kPack>;
  using SecondPack = Pack<typename Operation::Second, kPack>;
  int32_t done = 0;
  if (IsAligned<FirstPack>(first) && IsAligned<SecondPack>(second)) {
    const int32_t packs = count / kPack;
    WalkArrays(reinterpret_cast<FirstPack*>(first), reinterpret_cast<SecondPack*>(second), 0, packs,
               operation);
    done = packs * kPack;
  }
  WalkArrays(first, second, done, count, operation);
}

template <typename Operation, typename Table>
__device__ __forceinline__ void WalkPairs(const Table& table, const Operation& operation) {
  const int32_t chunks = table.first_chunk[table.pairs];
  for (int32_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const int pair = PairOfChunk(table.first_chunk, table.pairs, chunk);
    const int64_t offset =
        static_cast<int64_t>(chunk - table.first_chunk[pair]) * table.chunk_elements;
    const bool is_last = chunk + 1 == table.first_chunk[pair + 1];
    WalkChunk(static_cast<typename Operation::First*>(table.first[pair]) + offset,
              static_cast<typename Operation::Second*>(table.second[pair]) + offset,
              is_last ? table.last_chunk_elements[pair] : table.chunk_elements, operation);
  }
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_PAIR_WALKER_CUH_
