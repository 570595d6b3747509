// The XLA kernel that says whether variables are finite: a reduction of each, for XLA to fuse.

#include <vector>

#include "cc/xla/variable_reader.h"
#include "cc/xla/xla_builder.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::XlaOpKernel;
using ::tensorflow::XlaOpKernelContext;

class AllFiniteXlaOp : public XlaOpKernel {
 public:
  explicit AllFiniteXlaOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &dtype_));
  }

  void Compile(XlaOpKernelContext* ctx) override {
    std::vector<xla::XlaOp> values;
    const std::vector<XlaSide> sides = {{"variable", dtype_}};
    OP_REQUIRES_OK(ctx, VariableReader(ctx, sides, size_).Read(&values));
    xla::XlaOp found = xla::ConstantR0<bool>(ctx->builder(), false);
    for (const xla::XlaOp& value : values) {
      found = xla::Or(found, xla::Any(xla::Not(xla::IsFinite(value))));
    }
    ctx->SetOutput(0, xla::Not(found));
  }

 private:
  int size_;
  tensorflow::DataType dtype_;
};

REGISTER_XLA_OP(Name("ResourceAllFinite"), AllFiniteXlaOp);

}  // namespace
}  // namespace tf_mavg
