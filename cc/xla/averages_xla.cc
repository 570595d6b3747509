// The XLA kernels of updates of averages. See averages_xla.h for the contract.
//
// All that is known while compiling is checked before the first assignment; the values of the rates
// are not known, so nothing checks them.

#include "cc/xla/averages_xla.h"

#include <vector>

#include "cc/ops/dtypes.h"
#include "cc/ops/lists_of_averages.h"
#include "cc/xla/variable_reader.h"

namespace tf_mavg {

using ::tensorflow::DataType;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::XlaOpKernelContext;

xla::XlaOp IsRate(const xla::XlaOp& rate, float value) {
  return xla::Eq(rate, xla::ConstantR0<float>(rate.builder(), value));
}

xla::XlaOp MovedAverage(const xla::XlaOp& average, const xla::XlaOp& variable,
                        const xla::XlaOp& rate, DataType dtype) {
  const auto compute = dtype == tensorflow::DT_DOUBLE ? xla::F64 : xla::F32;
  const xla::XlaOp wide = xla::ConvertElementType(average, compute);
  const xla::XlaOp difference = xla::Sub(wide, xla::ConvertElementType(variable, compute));
  return xla::Sub(wide, xla::Mul(difference, xla::ConvertElementType(rate, compute)));
}

ApplyAveragesXlaOp::ApplyAveragesXlaOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
  int averages;
  OP_REQUIRES_OK(ctx, ctx->GetAttr("M", &averages));
  OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
  OP_REQUIRES_OK(ctx, ctx->GetAttr("Tavg", &average_dtype_));
  OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &variable_dtype_));
  Dtypes dtypes;
  OP_REQUIRES_OK(ctx, FindDtypes(ctx->def().op(), average_dtype_, variable_dtype_, &dtypes));
  OP_REQUIRES_OK(ctx, CountLists(ctx->def().op(), averages, size_, &lists_));
}

void ApplyAveragesXlaOp::Compile(XlaOpKernelContext* ctx) {
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
          Updated(ctx, list, values[input], values[lists_ * size_ + i], rate);
      OP_REQUIRES_OK(ctx, ctx->AssignVariable(input, average_dtype_, updated));
    }
  }
}

}  // namespace tf_mavg
