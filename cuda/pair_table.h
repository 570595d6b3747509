// What one launch works on: a table of pairs, passed by value as the kernel's only parameter.
//
// The host fills it, the driver copies it with the launch, the device reads it: nothing of it is
// allocated, copied or kept on the device. Both sides include this header, so it is the layout's
// only definition. Addresses are the device's.
//
// A pair costs 24 bytes. Its number of elements is not stored: every chunk but a pair's last is
// full, so the prefix of chunk counts and the size of the last chunk tell it, in 32 bits each.

#ifndef TF_MAVG_CUDA_PAIR_TABLE_H_
#define TF_MAVG_CUDA_PAIR_TABLE_H_

#include <cstdint>

namespace tf_mavg {

template <int capacity>
struct PairTable {
  static constexpr int kCapacity = capacity;

  void* first[capacity];                  // The averages; of a swap, the first variables.
  void* second[capacity];                 // The variables; of a swap, the second ones.
  const float* decay;                     // In device memory. Null for a swap.
  int32_t first_chunk[capacity + 1];      // See cc/core/chunk_map.h; [pairs] is the total.
  int32_t last_chunk_elements[capacity];  // 1 to chunk_elements.
  int32_t chunk_elements;
  int32_t pairs;  // 1 to capacity, none of them empty.
};

// The parameters of a kernel take at most 4,096 bytes; since CUDA 12.1, on compute capability 7.0
// and above, 32,764.
using SmallPairTable = PairTable<169>;
using LargePairTable = PairTable<1364>;

static_assert(sizeof(SmallPairTable) == 4080, "at most 4,096, alike on host and device");
static_assert(sizeof(LargePairTable) == 32760, "at most 32,764, alike on host and device");

// Threads of a block, whatever the kernel.
inline constexpr int kBlockThreads = 256;

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_PAIR_TABLE_H_
