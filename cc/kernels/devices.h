// What the kernels of all operations do on each device, declared once and specialised for each.
//
// The caller holds the locks of what is read and written. On a GPU, work is only enqueued on the
// op's stream.

#ifndef TF_MAVG_CC_KERNELS_DEVICES_H_
#define TF_MAVG_CC_KERNELS_DEVICES_H_

#include "absl/status/status.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_mavg {

// What operations are specialised for. Eigen's type in the role of a GPU needs CUDA.
using CpuDevice = Eigen::ThreadPoolDevice;
struct GpuDevice;

// Copies `from` into `to`, of the same dtype and shape.
template <typename Device>
struct CopyTensor {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, const tensorflow::Tensor& from,
                          tensorflow::Tensor* to) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_DEVICES_H_
