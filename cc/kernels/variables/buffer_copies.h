// Room to write where a reader still holds a buffer: copies of variables' buffers.
//
// They are made one after the other and put in place all together. Values do not change, and a
// failed allocation changes nothing.

#ifndef TF_MAVG_CC_KERNELS_VARIABLES_BUFFER_COPIES_H_
#define TF_MAVG_CC_KERNELS_VARIABLES_BUFFER_COPIES_H_

#include <utility>
#include <vector>

#include "cc/kernels/devices/devices.h"
#include "cc/kernels/variables/variable_lists.h"

namespace tf_mavg {

template <typename Device>
class BufferCopies {
 public:
  explicit BufferCopies(tensorflow::OpKernelContext* ctx) : ctx_(ctx) {}

  // Copies a variable's buffer; `data` becomes the copy's.
  absl::Status Make(const LockedVariable& variable, const void** data) {
    // As TensorFlow allocates variables: a network card or a GPU may read them.
    tensorflow::AllocatorAttributes attributes;
    attributes.set_gpu_compatible(true);
    attributes.set_nic_compatible(true);
    const tensorflow::Tensor& from = variable.tensor();
    tensorflow::Tensor to;
    TF_RETURN_IF_ERROR(ctx_->allocate_temp(from.dtype(), from.shape(), &to, attributes));
    TF_RETURN_IF_ERROR(CopyTensor<Device>()(ctx_, from, &to));
    *data = to.data();
    copies_.emplace_back(variable, std::move(to));
    return absl::OkStatus();
  }

  // Gives where a variable may be written: its buffer or, if somebody else holds that, a copy.
  absl::Status MakeWritable(const LockedVariable& variable, const void** data) {
    *data = variable.tensor().data();
    return variable.WriteNeedsCopy() ? Make(variable, data) : absl::OkStatus();
  }

  void PutInPlace() {
    for (auto& [variable, copy] : copies_) variable.Replace(copy);
  }

 private:
  tensorflow::OpKernelContext* const ctx_;
  std::vector<std::pair<LockedVariable, tensorflow::Tensor>> copies_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_VARIABLES_BUFFER_COPIES_H_
