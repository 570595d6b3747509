// Applies an operation to every element of every side of a table: the one loop of all kernels.
//
// Blocks stride over the chunks of all positions, so any grid does all the work; the threads of a
// block share a chunk. No two threads touch the same element, hence neither barriers nor atomics.
//
// An Operation declares its sides: kWritten of elements of type Written come first, and then, if
// kReads, one of type Read, which is no wider and only read. It has
//   operator()(Written* written, const Read& read)
// for one element of each, in registers; written points to kWritten of them. Each thread has an
// Operation of its own, which may keep what it has seen.
//
// An Operation that must know which element it has has, instead,
//   BeginChunk(int64_t offset)
//   operator()(Written* written, const Read& read, int32_t place)
// for chunks that begin with the element `offset` of a variable, and the element `place` of these.
// No chunk has an offset that is a multiple of 2^32 but at its beginning.

#ifndef TF_MAVG_CUDA_TABLES_WALKER_CUH_
#define TF_MAVG_CUDA_TABLES_WALKER_CUH_

#include <cstdint>

#include "cc/core/chunk_map.h"
#include "cuda/tables/table.h"

namespace tf_mavg {

// Neighbours that are loaded and stored by one instruction.
template <typename Element, int count>
struct alignas(sizeof(Element) * count) Pack {
  Element elements[count];
};

template <typename PackType>
__device__ __forceinline__ bool IsAligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % alignof(PackType) == 0;
}

template <typename Operation>
inline constexpr int kSidesOf = Operation::kWritten + (Operation::kReads ? 1 : 0);

// Room for an element of each written side: there is no array of none.
template <typename Operation>
inline constexpr int kRoomOf = Operation::kWritten > 0 ? Operation::kWritten : 1;

// Whether an operation has BeginChunk.
template <typename Operation>
__device__ constexpr auto KnowsPlaces(int) -> decltype(&Operation::BeginChunk, true) {
  return true;
}
template <typename Operation>
__device__ constexpr bool KnowsPlaces(...) {
  return false;
}

// Addresses of a chunk, one a side.
template <typename Operation>
struct Chunk {
  void* sides[kSidesOf<Operation>];
};

// Applies the operation to packs [begin, end) of a chunk, of `pack` elements each, as thread
// `thread` of the `threads` that share it.
template <int pack, typename Operation>
__device__ __forceinline__ void WalkPacks(const Chunk<Operation>& chunk, int32_t begin, int32_t end,
                                          Operation& operation, int32_t thread, int32_t threads) {
  using Written = Pack<typename Operation::Written, pack>;
  using Read = Pack<typename Operation::Read, pack>;
  // Not unrolled: at 32 registers or a few more, as many threads are resident as the device can
  // hold, and their loads in flight at once (64 KiB a multiprocessor of 2,048 threads) are more
  // than its share of any GPU's memory bandwidth asks for.
#pragma unroll 1
  for (int32_t i = begin + thread; i < end; i += threads) {
    Written written[kRoomOf<Operation>];
    Read read{};
    if (Operation::kReads) read = static_cast<const Read*>(chunk.sides[kSidesOf<Operation> - 1])[i];
#pragma unroll
    for (int side = 0; side < Operation::kWritten; ++side) {
      written[side] = static_cast<const Written*>(chunk.sides[side])[i];
    }
#pragma unroll
    for (int element = 0; element < pack; ++element) {
      typename Operation::Written of_element[kRoomOf<Operation>];
#pragma unroll
      for (int side = 0; side < Operation::kWritten; ++side) {
        of_element[side] = written[side].elements[element];
      }
      if constexpr (KnowsPlaces<Operation>(0)) {
        operation(of_element, read.elements[element], i * pack + element);
      } else {
        operation(of_element, read.elements[element]);
      }
#pragma unroll
      for (int side = 0; side < Operation::kWritten; ++side) {
        written[side].elements[element] = of_element[side];
      }
    }
#pragma unroll
    for (int side = 0; side < Operation::kWritten; ++side) {
      static_cast<Written*>(chunk.sides[side])[i] = written[side];
    }
  }
}

// 16 bytes of a written side at a time, as many elements of the other, so that the accesses of a
// warp are contiguous on all; element by element where an address does not allow that.
template <typename Operation>
__device__ __forceinline__ void WalkChunk(const Chunk<Operation>& chunk, int32_t count,
                                          Operation& operation, int32_t thread, int32_t threads) {
  using Written = typename Operation::Written;
  using Read = typename Operation::Read;
  constexpr int kPack = 16 / sizeof(Written);
  static_assert(sizeof(Read) <= sizeof(Written), "a written side is the widest one");
  bool aligned = true;
#pragma unroll
  for (int side = 0; side < Operation::kWritten; ++side) {
    aligned = aligned && IsAligned<Pack<Written, kPack>>(chunk.sides[side]);
  }
  if (Operation::kReads) {
    aligned = aligned && IsAligned<Pack<Read, kPack>>(chunk.sides[kSidesOf<Operation> - 1]);
  }
  int32_t done = 0;
  if (aligned) {
    WalkPacks<kPack>(chunk, 0, count / kPack, operation, thread, threads);
    done = count / kPack * kPack;
  }
  WalkPacks<1>(chunk, done, count, operation, thread, threads);
}

template <typename Operation, typename Table>
__device__ __forceinline__ void WalkTable(const Table& table, Operation& operation) {
  static_assert(kSidesOf<Operation> == Table::kDepth, "a side of the table for each side");
  const int32_t chunks = table.first_chunk[table.size];
  for (int32_t number = blockIdx.x; number < chunks; number += gridDim.x) {
    const int position = PositionOfChunk(table.first_chunk, table.size, number);
    const int64_t offset =
        static_cast<int64_t>(number - table.first_chunk[position]) * table.chunk_elements;
    Chunk<Operation> chunk;
#pragma unroll
    for (int side = 0; side < kSidesOf<Operation>; ++side) {
      void* const begin = table.sides[side][position];
      if (side < Operation::kWritten) {
        chunk.sides[side] = static_cast<typename Operation::Written*>(begin) + offset;
      } else {
        chunk.sides[side] = static_cast<typename Operation::Read*>(begin) + offset;
      }
    }
    if constexpr (KnowsPlaces<Operation>(0)) operation.BeginChunk(offset);
    const bool is_last = number + 1 == table.first_chunk[position + 1];
    WalkChunk(chunk, is_last ? table.last_chunk_elements[position] : table.chunk_elements,
              operation, static_cast<int32_t>(threadIdx.x), kBlockThreads);
  }
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_TABLES_WALKER_CUH_
