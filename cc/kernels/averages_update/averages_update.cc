// What an update asks of its rates. See averages_update.h for the contract.

#include "cc/kernels/averages_update/averages_update.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "cc/core/formulas/moving_average.h"

namespace tf_mavg {

absl::Status CheckRates(tensorflow::OpKernelContext* ctx, const tensorflow::Tensor& rates) {
  for (int i = 0; i < rates.NumElements(); ++i) {
    const float rate = rates.vec<float>()(i);
    if (rate >= 0.0f && rate <= 1.0f) continue;  // NaN is in no interval.
    const std::string of_list = rates.NumElements() == 1 ? "" : absl::StrCat(" for list ", i);
    return absl::InvalidArgumentError(
        absl::StrCat(ctx->op_kernel().type_string_view(),
                     ": decay must be in [0, 1]. Received: 1 - decay = ", rate, of_list, "."));
  }
  return absl::OkStatus();
}

absl::Status CheckRatesShape(tensorflow::OpKernelContext* ctx, const tensorflow::Tensor& rates,
                             int averages) {
  if (rates.dims() == 1 && rates.NumElements() == averages) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      ctx->op_kernel().type_string_view(), ": rates must be of shape [", averages,
      "], one a list of averages. Received: shape ", rates.shape().DebugString(), "."));
}

bool KeepAll(const tensorflow::Tensor& rates) {
  const float* const first = rates.flat<float>().data();
  return std::all_of(first, first + rates.NumElements(), [](float rate) { return rate == kKeep; });
}

}  // namespace tf_mavg
