// What the kernels of all operations do on each device, declared once and specialised for each.
//
// The caller holds the locks of what is read and written. On a GPU, work is only enqueued on the
// op's stream.

#ifndef TF_MAVG_CC_KERNELS_DEVICES_DEVICES_H_
#define TF_MAVG_CC_KERNELS_DEVICES_DEVICES_H_

#include <functional>

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

// Calls `done` once the device has done all that the op has asked for so far: on the CPU at once,
// on a GPU on a thread of TensorFlow's, when the op's stream has got there. If this is an error,
// `done` is not called.
template <typename Device>
struct CallWhenReached {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, std::function<void()> done) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_DEVICES_DEVICES_H_
