// The kernels of one image. The build compiles this file once for each architecture and form of
// table, with TF_MAVG_TABLE_BYTES the form's size; the kernels' names are the same in all.
//
// The .cc file of each operation calls them by name. Compiled with --fmad=false, see
// cc/core/formulas/moving_average.h.

#include "cc/core/dtypes.h"
#include "cuda/all_finite/all_finite.cuh"
#include "cuda/lazy_rows/lazy_rows.cuh"
#include "cuda/moving_average/moving_average.cuh"
#include "cuda/split_moving_average/split_moving_average.cuh"
#include "cuda/stochastic_average/stochastic_average.cuh"
#include "cuda/swap/swap.cuh"
#include "cuda/tables/table.h"
#include "cuda/tables/walker.cuh"

using namespace tf_mavg;

#define TF_MAVG_KERNEL(name, depth)                \
  __global__ void __launch_bounds__(kBlockThreads) \
      name(const __grid_constant__ Table<depth, TF_MAVG_TABLE_BYTES> table)

// moving_average_float32_2 is for two averages of a variable.
#define TF_MAVG_MOVING_AVERAGE(name, Average, Variable, averages)    \
  TF_MAVG_KERNEL(moving_average_##name##_##averages, averages + 1) { \
    MovingAverage<Average, Variable, averages> moving_average(       \
        static_cast<const float*>(table.operands[0]));               \
    WalkTable(table, moving_average);                                \
  }
#define TF_MAVG_MOVING_AVERAGES(name, Average, Variable) \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 1)     \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 2)     \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 3)     \
  TF_MAVG_MOVING_AVERAGE(name, Average, Variable, 4)
static_assert(kMostAverages == 4, "a kernel for each number of averages");

#define TF_MAVG_SPLIT_MOVING_AVERAGE(averages)                                                 \
  TF_MAVG_KERNEL(split_moving_average_##averages, 2 * averages + 1) {                          \
    SplitMovingAverage<averages> moving_average(static_cast<const float*>(table.operands[0])); \
    WalkTable(table, moving_average);                                                          \
  }
static_assert(kMostSplitAverages == 2, "a kernel for each number of averages");

// Resident blocks of a multiprocessor, by the number of averages. The compiler would take registers
// to make random bits for many elements at once, and few threads would be left to wait for memory.
#if __CUDA_ARCH__ < 750  // Its code needs more, and would spill them.
inline constexpr int kResidentBlocks[] = {0, 6, 4, 2, 2};
#elif __CUDA_ARCH__ == 750  // Holds 1,024 threads.
inline constexpr int kResidentBlocks[] = {0, 4, 4, 4, 3};
#elif __CUDA_ARCH__ >= 1000
inline constexpr int kResidentBlocks[] = {0, 6, 4, 4, 2};
#else
inline constexpr int kResidentBlocks[] = {0, 6, 4, 4, 3};
#endif

#define TF_MAVG_STOCHASTIC_AVERAGE(name, Half, averages)                            \
  __global__ void __launch_bounds__(kBlockThreads, kResidentBlocks[averages])       \
      stochastic_average_##name##_##averages(                                       \
          const __grid_constant__ Table<averages + 1, TF_MAVG_TABLE_BYTES> table) { \
    StochasticAverage<Half, averages> stochastic_average(                           \
        static_cast<const float*>(table.operands[0]),                               \
        static_cast<const int64_t*>(table.operands[1]));                            \
    WalkTable(table, stochastic_average);                                           \
  }
#define TF_MAVG_STOCHASTIC_AVERAGES(name, Half) \
  TF_MAVG_STOCHASTIC_AVERAGE(name, Half, 1)     \
  TF_MAVG_STOCHASTIC_AVERAGE(name, Half, 2)     \
  TF_MAVG_STOCHASTIC_AVERAGE(name, Half, 3)     \
  TF_MAVG_STOCHASTIC_AVERAGE(name, Half, 4)

#define TF_MAVG_ALL_FINITE(name, Element)                     \
  TF_MAVG_KERNEL(all_finite_##name, 1) {                      \
    AllFinite<Element> all_finite;                            \
    WalkTable(table, all_finite);                             \
    all_finite.Report(static_cast<bool*>(table.operands[0])); \
  }

#define TF_MAVG_CATCH_UP_ROWS(name, Average, Variable)                 \
  __global__ void __launch_bounds__(kBlockThreads)                     \
      catch_up_rows_##name(const __grid_constant__ RowTables tables) { \
    CatchUpRows<Average, Variable>(tables);                            \
  }

extern "C" {

TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_MOVING_AVERAGES)

TF_MAVG_SPLIT_MOVING_AVERAGE(1)
TF_MAVG_SPLIT_MOVING_AVERAGE(2)

TF_MAVG_FOR_EACH_HALF(TF_MAVG_STOCHASTIC_AVERAGES)

TF_MAVG_KERNEL(swap_bytes, 2) {
  Swap swap;
  WalkTable(table, swap);
}

TF_MAVG_FOR_EACH_DTYPE(TF_MAVG_ALL_FINITE)

TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_CATCH_UP_ROWS)

__global__ void __launch_bounds__(kBlockThreads)
    advance_row_clocks(const __grid_constant__ RowTables tables) {
  AdvanceRowClocks(tables);
}

}  // extern "C"
