// What the kernels do to memory, declared once and specialised for each device.
//
// The caller holds the locks, has checked everything, and no one else holds a buffer that is
// written. A functor either does all of its work or returns an error and has written nothing. On a
// GPU it only enqueues on the op's stream.

#ifndef TF_MAVG_CC_KERNELS_PAIR_FUNCTORS_H_
#define TF_MAVG_CC_KERNELS_PAIR_FUNCTORS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cc/core/pair_buffers.h"
#include "cc/core/pair_type.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_mavg {

// What the functors are specialised for. Eigen's type in the role of a GPU needs CUDA.
using CpuDevice = Eigen::ThreadPoolDevice;
struct GpuDevice;

// first (the average) -= (first - second) * (1 - decay). `decay` is a float32 scalar that lies in
// the device's own memory; a decay outside [0, 1] is an error where the host can see it.
template <typename Device>
struct UpdateAverages {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, PairType type,
                          const std::vector<PairBuffers>& pairs,
                          const tensorflow::Tensor& decay) const;
};

// Exchanges the contents of first and second.
template <typename Device>
struct SwapContents {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, int64_t element_bytes,
                          const std::vector<PairBuffers>& pairs) const;
};

// Copies `from` into `to`, of the same dtype and shape.
template <typename Device>
struct CopyTensor {
  absl::Status operator()(tensorflow::OpKernelContext* ctx, const tensorflow::Tensor& from,
                          tensorflow::Tensor* to) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_PAIR_FUNCTORS_H_
