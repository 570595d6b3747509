// The XLA kernel of the update: what the op means, for the compiler to fuse.
//
// Order, rounding and the two rates that are no arithmetic are those of
// cc/core/formulas/moving_average.h, except that XLA may contract the product and the last
// subtraction.

#include "cc/core/formulas/moving_average.h"
#include "cc/xla/averages_xla.h"
#include "cc/xla/xla_builder.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"

namespace tf_mavg {
namespace {

class ApplyMovingAverageXlaOp : public ApplyAveragesXlaOp {
 public:
  using ApplyAveragesXlaOp::ApplyAveragesXlaOp;

 private:
  // Half precision is computed in float32 and rounded once, as the other kernels do.
  xla::XlaOp Updated(tensorflow::XlaOpKernelContext*, int, const xla::XlaOp& average,
                     const xla::XlaOp& variable, const xla::XlaOp& rate) override {
    const auto stored = average_dtype() == tensorflow::DT_HALF       ? xla::F16
                        : average_dtype() == tensorflow::DT_BFLOAT16 ? xla::BF16
                        : average_dtype() == tensorflow::DT_DOUBLE   ? xla::F64
                                                                     : xla::F32;
    const xla::XlaOp moved =
        xla::ConvertElementType(MovedAverage(average, variable, rate, average_dtype()), stored);
    const xla::XlaOp copied = xla::ConvertElementType(variable, stored);
    return xla::Select(IsRate(rate, kKeep), average,
                       xla::Select(IsRate(rate, kCopy), copied, moved));
  }
};

REGISTER_XLA_OP(Name("ResourceApplyMovingAverage"), ApplyMovingAverageXlaOp);

}  // namespace
}  // namespace tf_mavg
