// Kernels of the emulator's own tests, in the shapes that a fused multi-tensor update has: a table
// by value in the parameters, a binary search in it, 16-byte accesses with scalar tails, half
// precision, and a reduction with shared memory and barriers.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

using Offset = long long;

template <int capacity>
struct Table {
  void* averages[capacity];
  const void* variables[capacity];
  Offset sizes[capacity];
  unsigned chunk_ends[capacity];  // chunks of the pairs 0 to i
  unsigned pairs;
  unsigned chunks;
  const float* decay;
};

constexpr Offset kChunk = 1024;

__device__ float ToFloat(float x) { return x; }
__device__ float ToFloat(__half x) { return __half2float(x); }
__device__ float ToFloat(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ void Round(float* out, float x) { *out = x; }
__device__ void Round(__half* out, float x) { *out = __float2half_rn(x); }
__device__ void Round(__nv_bfloat16* out, float x) { *out = __float2bfloat16_rn(x); }

template <class T>
struct alignas(16) Pack {
  T values[16 / sizeof(T)];
};

template <class T>
__device__ void Update(T* average, const T& variable, float rate) {
  const float old = ToFloat(*average);
  Round(average, old - (old - ToFloat(variable)) * rate);
}

template <class T, int capacity>
__device__ void UpdateAll(const Table<capacity>& table) {
  const float rate = 1.0f - *table.decay;
  for (unsigned chunk = blockIdx.x; chunk < table.chunks; chunk += gridDim.x) {
    unsigned pair = 0;
    for (unsigned end = table.pairs - 1; pair < end;) {
      const unsigned middle = (pair + end) / 2;
      if (chunk < table.chunk_ends[middle]) {
        end = middle;
      } else {
        pair = middle + 1;
      }
    }
    const unsigned first = pair == 0 ? 0 : table.chunk_ends[pair - 1];
    const Offset begin = (chunk - first) * kChunk;
    const Offset end = begin + kChunk < table.sizes[pair] ? begin + kChunk : table.sizes[pair];
    T* average = static_cast<T*>(table.averages[pair]);
    const T* variable = static_cast<const T*>(table.variables[pair]);
    Offset i = begin;
    constexpr int kWidth = 16 / sizeof(T);
    if ((reinterpret_cast<Offset>(average + begin) | reinterpret_cast<Offset>(variable + begin)) %
            16 ==
        0) {
      Offset packs = (end - begin) / kWidth;
      for (Offset p = threadIdx.x; p < packs; p += blockDim.x) {
        auto a = reinterpret_cast<Pack<T>*>(average + begin)[p];
        const auto v = reinterpret_cast<const Pack<T>*>(variable + begin)[p];
#pragma unroll
        for (int n = 0; n < kWidth; ++n) Update(&a.values[n], v.values[n], rate);
        reinterpret_cast<Pack<T>*>(average + begin)[p] = a;
      }
      i += packs * kWidth;
    }
    for (i += threadIdx.x; i < end; i += blockDim.x) Update(average + i, variable[i], rate);
  }
}

extern "C" {
__global__ void update_f32(const __grid_constant__ Table<128> table) { UpdateAll<float>(table); }
__global__ void update_f16(const __grid_constant__ Table<128> table) { UpdateAll<__half>(table); }
__global__ void update_bf16(const __grid_constant__ Table<128> table) {
  UpdateAll<__nv_bfloat16>(table);
}
__global__ void update_f32_large(const __grid_constant__ Table<1024> table) {
  UpdateAll<float>(table);
}

__global__ void sum(const float* values, float* sums, int count) {
  __shared__ float partial[256];
  const int i = blockIdx.x * 256 + threadIdx.x;
  partial[threadIdx.x] = i < count ? values[i] : 0.0f;
  __syncthreads();
  for (int width = 128; width > 0; width /= 2) {
    if (threadIdx.x < width) partial[threadIdx.x] += partial[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}
}
