// The XLA kernel of the swap: both lists are assigned the other's values.
//
// The compiler decides which buffers change places, so the attribute `copy` has no meaning here.

#include <vector>

#include "cc/xla/variable_reader.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::XlaOpKernel;
using ::tensorflow::XlaOpKernelContext;

class SwapVariablesXlaOp : public XlaOpKernel {
 public:
  explicit SwapVariablesXlaOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &dtype_));
  }

  void Compile(XlaOpKernelContext* ctx) override {
    std::vector<xla::XlaOp> values;
    const std::vector<XlaSide> sides = {{"first variable", dtype_}, {"second variable", dtype_}};
    OP_REQUIRES_OK(ctx, VariableReader(ctx, sides, size_).Read(&values));
    for (int i = 0; i < size_; ++i) {
      OP_REQUIRES_OK(ctx, ctx->AssignVariable(i, dtype_, values[size_ + i]));
      OP_REQUIRES_OK(ctx, ctx->AssignVariable(size_ + i, dtype_, values[i]));
    }
  }

 private:
  int size_;
  tensorflow::DataType dtype_;
};

REGISTER_XLA_OP(Name("ResourceSwapVariables"), SwapVariablesXlaOp);

}  // namespace
}  // namespace tf_mavg
