// Lazy rows of tables in device memory: enqueues the kernels of lazy_rows.cuh.

#ifndef TF_MAVG_CUDA_LAZY_ROWS_LAZY_ROWS_H_
#define TF_MAVG_CUDA_LAZY_ROWS_LAZY_ROWS_H_

#include <vector>

#include "cc/core/dtypes.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {

// Has the rows of the lists, one a table and in device memory, see all steps of their clocks. An
// index of no row is passed over. Tables are distinct.
GpuStatus LaunchCatchUpRows(Dtypes dtypes, const std::vector<RowTable>& tables,
                            const std::vector<RowList>& lists, const LaunchSettings& settings);

// Has all rows see all steps of their clocks, and starts the clocks anew.
GpuStatus LaunchCatchUpAllRows(Dtypes dtypes, const std::vector<RowTable>& tables,
                               const LaunchSettings& settings);

// Notes a step in the clocks. Where one is full, all rows are caught up first. The rate, which must
// be in [0, 1], lies in device memory and is read when the kernels run.
GpuStatus LaunchAdvanceRowClocks(Dtypes dtypes, const std::vector<RowTable>& tables,
                                 const float* rate, const LaunchSettings& settings);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAZY_ROWS_LAZY_ROWS_H_
