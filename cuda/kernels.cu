// The kernels of one image. The build compiles this file once for each architecture and table form,
// with TF_MAVG_TABLE naming the form; the kernels' names are the same in all.
//
// kKernelNames of context_kernels.cc lists them. Compiled with --fmad=false, see average_formula.h.

#include "cuda/pair_operations.cuh"
#include "cuda/pair_table.h"
#include "cuda/pair_walker.cuh"

using namespace tf_mavg;

using Table = TF_MAVG_TABLE;

extern "C" {

__global__ void __launch_bounds__(kBlockThreads)
    update_float16(const __grid_constant__ Table table) {
  WalkPairs(table, Update<Float16>(table.decay));
}

__global__ void __launch_bounds__(kBlockThreads)
    update_bfloat16(const __grid_constant__ Table table) {
  WalkPairs(table, Update<Bfloat16>(table.decay));
}

__global__ void __launch_bounds__(kBlockThreads)
    update_float32(const __grid_constant__ Table table) {
  WalkPairs(table, Update<float>(table.decay));
}

__global__ void __launch_bounds__(kBlockThreads)
    update_float64(const __grid_constant__ Table table) {
  WalkPairs(table, Update<double>(table.decay));
}

__global__ void __launch_bounds__(kBlockThreads)
    update_float16_in_float32(const __grid_constant__ Table table) {
  WalkPairs(table, Update<float, Float16>(table.decay));
}

__global__ void __launch_bounds__(kBlockThreads)
    update_bfloat16_in_float32(const __grid_constant__ Table table) {
  WalkPairs(table, Update<float, Bfloat16>(table.decay));
}

__global__ void __launch_bounds__(kBlockThreads) swap_bytes(const __grid_constant__ Table table) {
  WalkPairs(table, Swap());
}

}  // extern "C"
