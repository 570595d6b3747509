// What the ops on averages of which only some rows are touched do to memory, on each device. See
// cc/core/formulas/lazy_rows.h for the rule.
//
// The caller holds the locks; averages, counters and clocks are written.

#ifndef TF_MAVG_CC_KERNELS_LAZY_ROWS_LAZY_ROWS_H_
#define TF_MAVG_CC_KERNELS_LAZY_ROWS_LAZY_ROWS_H_

#include <vector>

#include "absl/status/status.h"
#include "cc/core/dtypes.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cc/kernels/devices/devices.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

// Has the rows of the lists, one a table, see all steps of their clocks. On the CPU all indices
// must be those of rows; on a GPU others are passed over.
template <typename Device>
struct CatchUpRows {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                          const std::vector<RowTable>& tables,
                          const std::vector<RowList>& lists) const;
};

// Has all rows see all steps of their clocks, and starts the clocks anew.
template <typename Device>
struct CatchUpAllRows {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                          const std::vector<RowTable>& tables) const;
};

// Notes a step in the clocks, after catching up all rows of those that are full. The rate, in
// [0, 1], lies in the device's own memory.
template <typename Device>
struct AdvanceRowClocks {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                          const std::vector<RowTable>& tables, const float* rate) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_LAZY_ROWS_LAZY_ROWS_H_
