// The look at variables on a GPU. See all_finite.h for the contract, gpu_stream.h for order.

#include "cc/kernels/all_finite/all_finite.h"
#include "cc/kernels/devices/devices.h"
#include "cc/kernels/devices/gpu_stream.h"
#include "cuda/all_finite/all_finite.h"
#include "tensorflow/core/framework/tensor.h"

namespace tf_mavg {

template <>
absl::Status FindAllFinite<GpuDevice>::operator()(tensorflow::OpKernelContext* ctx, Dtypes dtypes,
                                                  const Lists& lists, bool* all_finite) const {
  tensorflow::Tensor found;
  TF_RETURN_IF_ERROR(ctx->allocate_temp(tensorflow::DT_BOOL, tensorflow::TensorShape({}), &found));
  auto* const on_device = static_cast<bool*>(found.data());
  const CuStream stream = StreamOf(ctx);
  TF_RETURN_IF_ERROR(
      ToStatus(ctx, LaunchAllFinite(dtypes, lists, on_device, {stream, std::nullopt})));
  return ToStatus(ctx, EnqueueCopyToHost(all_finite, on_device, sizeof(bool), stream));
}

}  // namespace tf_mavg
