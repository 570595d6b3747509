// The stream of TensorFlow's device, and the launch layer's errors in TensorFlow's terms.
//
// That stream is also the one on which TensorFlow runs the ops around this one and gives memory
// back, so order of enqueueing is order of execution: nothing waits, and a buffer that is released
// while a kernel still reads it is not used again before that kernel ends. The device's context is
// current: TensorFlow makes it so around every kernel's Compute.

#ifndef TF_MAVG_CC_KERNELS_DEVICES_GPU_STREAM_H_
#define TF_MAVG_CC_KERNELS_DEVICES_GPU_STREAM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cuda/driver/driver.h"
#include "cuda/driver/gpu_status.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "xla/stream_executor/stream.h"

namespace tf_mavg {

inline CuStream StreamOf(tensorflow::OpKernelContext* ctx) {
  return static_cast<CuStream>(
      ctx->op_device_context()->stream()->platform_specific_handle().stream);
}

inline absl::Status ToStatus(tensorflow::OpKernelContext* ctx, const GpuStatus& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = absl::StrCat(ctx->op_kernel().type_string_view(), " on ",
                                           ctx->device()->name(), ": ", status.message());
  return status.code() == GpuStatus::Code::kFailed ? absl::InternalError(message)
                                                   : absl::FailedPreconditionError(message);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_DEVICES_GPU_STREAM_H_
