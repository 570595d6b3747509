// What one launch works on: a table of lists, passed by value as the kernel's only parameter.
//
// The host fills it, the driver copies it with the launch, the device reads it: nothing of it is
// allocated, copied or kept on the device. Both include this header, so it is the layout's only
// definition. Addresses are the device's.
//
// A position costs 8 bytes a side and 8 more. Its number of elements is not stored: every chunk but
// a position's last is full, so the prefix of chunk counts and the size of the last chunk tell it,
// in 32 bits each.

#ifndef TF_MAVG_CUDA_TABLES_TABLE_H_
#define TF_MAVG_CUDA_TABLES_TABLE_H_

#include <cstdint>

namespace tf_mavg {

// The parameters of a kernel take at most 4,096 bytes; since CUDA 12.1, on compute capability 7.0
// and above, 32,764.
inline constexpr int kSmallTableBytes = 4096;
inline constexpr int kLargeTableBytes = 32764;

// What an operation takes beside its lists: its rates, the keys of its random bits.
inline constexpr int kOperands = 2;

// `depth` sides in at most `bytes`.
template <int depth, int bytes>
struct Table {
  static constexpr int kDepth = depth;
  static constexpr int kBytesBesidePositions =
      8 * kOperands + 3 * 4 + 4;  // The last 4 align the whole.
  static constexpr int kCapacity = (bytes - kBytesBesidePositions) / (8 * depth + 8);

  void* sides[depth][kCapacity];
  void* operands[kOperands];           // In device memory, what else the operation takes; or null.
  int32_t first_chunk[kCapacity + 1];  // See cc/core/chunk_map.h; [size] is the total.
  int32_t last_chunk_elements[kCapacity];  // 1 to chunk_elements.
  int32_t chunk_elements;
  int32_t size;  // Positions in use: 1 to kCapacity, none of them empty.

  // An empty tail of the parameters' space that one more position would fit into is a mistake.
  static constexpr int kUsedBytes = 8 * kOperands + 3 * 4 + kCapacity * (8 * depth + 8);
  static_assert(kUsedBytes + 8 * depth + 8 + 4 > bytes, "the table is as full as can be");
};

static_assert(sizeof(Table<2, kSmallTableBytes>) == 4088, "alike on host and device");
static_assert(sizeof(Table<2, kLargeTableBytes>) == 32744, "alike on host and device");
static_assert(sizeof(Table<5, kSmallTableBytes>) <= kSmallTableBytes);
static_assert(sizeof(Table<5, kLargeTableBytes>) <= kLargeTableBytes);

// Threads of a block, whatever the kernel.
inline constexpr int kBlockThreads = 256;

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_TABLES_TABLE_H_
