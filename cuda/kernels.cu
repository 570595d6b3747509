// The kernels of one image. The build compiles this file once for each architecture and form of
// table, with TF_MAVG_TABLE_BYTES the form's size; the kernels' names are the same in all.
//
// cuda/moving_average.cc and cuda/swap.cc call them by name. Compiled with --fmad=false, see
// cc/core/moving_average.h.

#include "cc/core/dtypes.h"
#include "cuda/moving_average.cuh"
#include "cuda/swap.cuh"
#include "cuda/table.h"
#include "cuda/walker.cuh"

using namespace tf_mavg;

#define TF_MAVG_KERNEL(name, depth)                \
  __global__ void __launch_bounds__(kBlockThreads) \
      name(const __grid_constant__ Table<depth, TF_MAVG_TABLE_BYTES> table)

// moving_average_float32_2 is for two averages of a variable.
#define TF_MAVG_MOVING_AVERAGE(name, Average, Variable, averages)              \
  TF_MAVG_KERNEL(moving_average_##name##_##averages, averages + 1) {           \
    WalkTable(table, MovingAverage<Average, Variable, averages>(table.rates)); \
  }
#define TF_MAVG_MOVING_AVERAGES(name, Average, Variable) \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 1)     \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 2)     \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 3)     \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 4)
static_assert(kMostAverages == 4, "a kernel for each number of averages");

extern "C" {

TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_MOVING_AVERAGES)

TF_MAVG_KERNEL(swap_bytes, 2) { WalkTable(table, Swap()); }

}  // extern "C"
