// Lazy rows on a GPU. See lazy_rows.h for the contract, gpu_stream.h for order.

#include "cc/kernels/devices/gpu_stream.h"
#include "cc/kernels/lazy_rows/lazy_rows.h"
#include "cuda/lazy_rows/lazy_rows.h"

namespace tf_mavg {

template <>
absl::Status CatchUpRows<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                                                const std::vector<RowTable>& tables,
                                                const std::vector<RowList>& lists) const {
  return ToStatus(ctx, LaunchCatchUpRows(dtypes, tables, lists, {StreamOf(ctx), std::nullopt}));
}

template <>
absl::Status CatchUpAllRows<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                                                   const std::vector<RowTable>& tables) const {
  return ToStatus(ctx, LaunchCatchUpAllRows(dtypes, tables, {StreamOf(ctx), std::nullopt}));
}

template <>
absl::Status AdvanceRowClocks<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx,
                                                     Dtypes dtypes,
                                                     const std::vector<RowTable>& tables,
                                                     const float* rate) const {
  return ToStatus(ctx, LaunchAdvanceRowClocks(dtypes, tables, rate, {StreamOf(ctx), std::nullopt}));
}

}  // namespace tf_mavg
