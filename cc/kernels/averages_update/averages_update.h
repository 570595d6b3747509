// What the updates of all kinds of averages do to variables, whatever their arithmetic.
//
// It takes all locks, checks every variable, makes room where a reader still holds a buffer that is
// to be written, and only then writes. If it returns an error, no variable has changed.

#ifndef TF_MAVG_CC_KERNELS_AVERAGES_UPDATE_AVERAGES_UPDATE_H_
#define TF_MAVG_CC_KERNELS_AVERAGES_UPDATE_AVERAGES_UPDATE_H_

#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cc/core/lists.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/variables/buffer_copies.h"
#include "cc/kernels/variables/variable_lists.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mavg {

// An error unless the rates, which the host can see, all lie in [0, 1].
absl::Status CheckRates(tensorflow::OpKernelContext* ctx, const tensorflow::Tensor& rates);

// An error unless there is a rate for each of so many averages of a variable: shape functions do
// not see what eager execution, placeholders and bindings bring.
absl::Status CheckRatesShape(tensorflow::OpKernelContext* ctx, const tensorflow::Tensor& rates,
                             int averages);

// Whether this is a step that leaves all averages alone. On a GPU only the kernel knows.
bool KeepAll(const tensorflow::Tensor& rates);

// Writes all sides of the lists but the last, which is read: calls update(const Lists&) for their
// memory, and before, on the CPU, prefetch(const Lists&, position) for each position.
template <typename Device, typename Prefetch, typename Update>
absl::Status UpdateLists(tensorflow::OpKernelContext* ctx, const VariableLists& lists, int averages,
                         const tensorflow::Tensor& rates, const Prefetch& prefetch,
                         const Update& update) {
  constexpr bool kIsOnCpu = std::is_same_v<Device, CpuDevice>;
  TF_RETURN_IF_ERROR(CheckRatesShape(ctx, rates, averages));
  if (kIsOnCpu && KeepAll(rates)) return absl::OkStatus();
  const int last = lists.depth() - 1;
  std::vector<Access> accesses(lists.depth(), Access::kWrite);
  accesses[last] = Access::kRead;
  LockedLists locked(ctx, lists, std::move(accesses));
  Lists buffers(lists.depth(), lists.size());
  BufferCopies<Device> copies(ctx);
  TF_RETURN_IF_ERROR(locked.ForEachChecked([&](int position) {
    for (int side = 0; side < last; ++side) {
      const void* data;
      TF_RETURN_IF_ERROR(copies.MakeWritable(locked.variable(side, position), &data));
      buffers.set_buffer(side, position, data);
    }
    const tensorflow::Tensor& variable = locked.variable(last, position).tensor();
    buffers.set_buffer(last, position, variable.data());
    buffers.set_elements(position, variable.NumElements());
    if constexpr (kIsOnCpu) prefetch(buffers, position);
    return absl::OkStatus();
  }));
  copies.PutInPlace();
  return update(buffers);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_AVERAGES_UPDATE_AVERAGES_UPDATE_H_
