// The XLA kernel of the update: what the op means, for the compiler to fuse.
//
// All that is known while compiling is checked before the first assignment; the values of the rates
// are not known, so nothing checks them. Order, rounding and the two rates that are no arithmetic
// are those of cc/core/moving_average.h, except that XLA may contract the product and the last
// subtraction.

#include <vector>

#include "cc/core/moving_average.h"
#include "cc/ops/dtypes.h"
#include "cc/ops/lists_of_averages.h"
#include "cc/xla/variable_reader.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "xla/hlo/builder/xla_builder.h"

namespace tf_mavg {
namespace {

using ::tensorflow::DataType;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::XlaOpKernel;
using ::tensorflow::XlaOpKernelContext;

xla::XlaOp IsRate(const xla::XlaOp& rate, float value) {
  return xla::Eq(rate, xla::ConstantR0<float>(rate.builder(), value));
}

// Half precision is computed in float32 and rounded once, as the other kernels do. The rate is a
// float32 scalar.
xla::XlaOp UpdatedAverage(const xla::XlaOp& average, const xla::XlaOp& variable,
                          const xla::XlaOp& rate, DataType dtype) {
  const auto compute = dtype == tensorflow::DT_DOUBLE ? xla::F64 : xla::F32;
  const auto stored = dtype == tensorflow::DT_HALF       ? xla::F16
                      : dtype == tensorflow::DT_BFLOAT16 ? xla::BF16
                                                         : compute;
  const xla::XlaOp wide = xla::ConvertElementType(average, compute);
  const xla::XlaOp difference = xla::Sub(wide, xla::ConvertElementType(variable, compute));
  const xla::XlaOp step = xla::Mul(difference, xla::ConvertElementType(rate, compute));
  const xla::XlaOp moved = xla::ConvertElementType(xla::Sub(wide, step), stored);
  const xla::XlaOp copied = xla::ConvertElementType(variable, stored);
  return xla::Select(IsRate(rate, kKeep), average, xla::Select(IsRate(rate, kCopy), copied, moved));
}

class ApplyMovingAverageXlaOp : public XlaOpKernel {
 public:
  explicit ApplyMovingAverageXlaOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
    int averages;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("M", &averages));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("Tavg", &average_dtype_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &variable_dtype_));
    Dtypes dtypes;
    OP_REQUIRES_OK(ctx, FindDtypes(ctx->def().op(), average_dtype_, variable_dtype_, &dtypes));
    OP_REQUIRES_OK(ctx, CountLists(ctx->def().op(), averages, size_, &lists_));
  }

  void Compile(XlaOpKernelContext* ctx) override {
    std::vector<XlaSide> sides;
    for (int list = 0; list < lists_; ++list) {
      sides.push_back({"average", average_dtype_, lists_ == 1 ? -1 : list});
    }
    sides.push_back({"variable", variable_dtype_});
    std::vector<xla::XlaOp> values;
    OP_REQUIRES_OK(ctx, VariableReader(ctx, sides, size_).Read(&values));
    const xla::XlaOp rates = ctx->Input((lists_ + 1) * size_);
    for (int list = 0; list < lists_; ++list) {
      const xla::XlaOp rate = xla::Reshape(xla::SliceInDim(rates, list, list + 1, 1, 0), {});
      for (int i = 0; i < size_; ++i) {
        const int input = list * size_ + i;
        const xla::XlaOp updated =
            UpdatedAverage(values[input], values[lists_ * size_ + i], rate, average_dtype_);
        OP_REQUIRES_OK(ctx, ctx->AssignVariable(input, average_dtype_, updated));
      }
    }
  }

 private:
  int lists_;
  int size_;
  DataType average_dtype_;
  DataType variable_dtype_;
};

REGISTER_XLA_OP(Name("ResourceApplyMovingAverage"), ApplyMovingAverageXlaOp);

}  // namespace
}  // namespace tf_mavg
