// The functors of pair_functors.h on a GPU: work enqueued on the stream of TensorFlow's device.
//
// That stream is also the one on which TensorFlow runs the ops around this one and gives memory
// back, so order of enqueueing is order of execution: nothing here waits, and a buffer that is
// released while a kernel still reads it is not used again before that kernel ends.
//
// The device's context is current: TensorFlow makes it so around every kernel's Compute.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/pair_functors.h"
#include "cuda/launcher.h"
#include "xla/stream_executor/stream.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

CuStream StreamOf(OpKernelContext* ctx) {
  return static_cast<CuStream>(
      ctx->op_device_context()->stream()->platform_specific_handle().stream);
}

absl::Status ToStatus(OpKernelContext* ctx, const GpuStatus& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = absl::StrCat(ctx->op_kernel().type_string_view(), " on ",
                                           ctx->device()->name(), ": ", status.message());
  return status.code() == GpuStatus::Code::kFailed ? absl::InternalError(message)
                                                   : absl::FailedPreconditionError(message);
}

}  // namespace

template <>
absl::Status UpdateAverages<GpuDevice>::operator()(OpKernelContext* ctx, PairType type,
                                                   const std::vector<PairBuffers>& pairs,
                                                   const Tensor& decay) const {
  return ToStatus(ctx, LaunchUpdate(type, pairs, static_cast<const float*>(decay.data()),
                                    {StreamOf(ctx), std::nullopt}));
}

template <>
absl::Status SwapContents<GpuDevice>::operator()(OpKernelContext* ctx, int64_t element_bytes,
                                                 const std::vector<PairBuffers>& pairs) const {
  return ToStatus(ctx, LaunchSwap(element_bytes, pairs, {StreamOf(ctx), std::nullopt}));
}

template <>
absl::Status CopyTensor<GpuDevice>::operator()(OpKernelContext* ctx, const Tensor& from,
                                               Tensor* to) const {
  return ToStatus(ctx, EnqueueCopy(to->data(), from.data(), from.TotalBytes(), StreamOf(ctx)));
}

}  // namespace tf_mavg
