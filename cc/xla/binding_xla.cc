// The XLA kernels of the ops on a binding: none can be, and they say what to do instead.
//
// XLA must see each variable that a program touches, and a binding shows none of them.

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"

namespace tf_mavg {
namespace {

class BoundXlaOp : public tensorflow::XlaOpKernel {
 public:
  using XlaOpKernel::XlaOpKernel;

  void Compile(tensorflow::XlaOpKernelContext* ctx) override {
    ctx->SetStatus(absl::InvalidArgumentError(absl::StrCat(
        type_string_view(), ": variables that are bound cannot be compiled; call the averaging ",
        "inside the function that has jit_compile=True, so that it is traced for XLA, or outside ",
        "of it.")));
  }
};

REGISTER_XLA_OP(Name("BoundApplyMovingAverage").AllowResourceTypes(), BoundXlaOp);
REGISTER_XLA_OP(Name("BoundApplyStochasticAverage").AllowResourceTypes(), BoundXlaOp);
REGISTER_XLA_OP(Name("BoundSwapVariables").AllowResourceTypes(), BoundXlaOp);
REGISTER_XLA_OP(Name("BoundAllFinite").AllowResourceTypes(), BoundXlaOp);

}  // namespace
}  // namespace tf_mavg
