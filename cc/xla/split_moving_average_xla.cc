// The XLA kernel of the update of split averages: integers around the arithmetic of float32.
//
// What moving_average_xla.cc says of checks, rates and contraction holds here; bits are split and
// joined as in cc/core/formulas/split.h.

#include <vector>

#include "cc/core/formulas/moving_average.h"
#include "cc/ops/lists_of_averages.h"
#include "cc/xla/variable_reader.h"
#include "cc/xla/xla_builder.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernelConstruction;
using ::tensorflow::XlaOpKernel;
using ::tensorflow::XlaOpKernelContext;
using ::xla::XlaOp;

// A float32 average, or the halves of one.
struct Halves {
  XlaOp high;       // bfloat16
  XlaOp remainder;  // int16
};

XlaOp Constant(const XlaOp& like, uint32_t value) {
  return xla::ConstantR0<uint32_t>(like.builder(), value);
}

// The bits of a bfloat16 as the upper half of a word.
XlaOp UpperBits(const XlaOp& value) {
  const XlaOp bits = xla::ConvertElementType(xla::BitcastConvertType(value, xla::U16), xla::U32);
  return xla::ShiftLeft(bits, Constant(bits, 16));
}

XlaOp Join(const Halves& halves) {
  const XlaOp wide = xla::ConvertElementType(halves.remainder, xla::S32);
  const XlaOp bits = xla::Add(UpperBits(halves.high), xla::BitcastConvertType(wide, xla::U32));
  return xla::BitcastConvertType(bits, xla::F32);
}

Halves Split(const XlaOp& value) {
  const XlaOp bits = xla::BitcastConvertType(value, xla::U32);
  const XlaOp magnitude = xla::And(bits, Constant(bits, 0x7fffffffu));
  const XlaOp quiet =
      xla::And(xla::Or(bits, Constant(bits, 0x00400000u)), Constant(bits, 0xffff0000u));
  const XlaOp kept = xla::Select(xla::Gt(magnitude, Constant(bits, 0x7f800000u)), quiet, bits);
  const XlaOp rounded =
      xla::ShiftRightLogical(xla::Add(kept, Constant(bits, 0x8000u)), Constant(bits, 16));
  const auto narrow = [](const XlaOp& word, xla::PrimitiveType type) {
    return xla::BitcastConvertType(xla::ConvertElementType(word, xla::U16), type);
  };
  return {narrow(rounded, xla::BF16), narrow(xla::And(kept, Constant(bits, 0xffffu)), xla::S16)};
}

XlaOp IsRate(const XlaOp& rate, float value) {
  return xla::Eq(rate, xla::ConstantR0<float>(rate.builder(), value));
}

// The rate is a float32 scalar.
Halves Updated(const Halves& average, const XlaOp& variable, const XlaOp& rate) {
  const XlaOp old = Join(average);
  const XlaOp wide = xla::BitcastConvertType(UpperBits(variable), xla::F32);
  const Halves moved = Split(xla::Sub(old, xla::Mul(xla::Sub(old, wide), rate)));
  const XlaOp none = xla::And(average.remainder, xla::ConstantR0<int16_t>(rate.builder(), 0));
  const auto choose = [&](const XlaOp& kept, const XlaOp& copied, const XlaOp& computed) {
    return xla::Select(IsRate(rate, kKeep), kept,
                       xla::Select(IsRate(rate, kCopy), copied, computed));
  };
  return {choose(average.high, variable, moved.high),
          choose(average.remainder, none, moved.remainder)};
}

class ApplySplitMovingAverageXlaOp : public XlaOpKernel {
 public:
  explicit ApplySplitMovingAverageXlaOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
    int averages;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("M", &averages));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &size_));
    OP_REQUIRES_OK(ctx, CountSplitLists(ctx->def().op(), averages, averages, size_, &lists_));
  }

  void Compile(XlaOpKernelContext* ctx) override {
    std::vector<XlaSide> sides;
    const auto declare = [&](const char* role, tensorflow::DataType dtype) {
      for (int list = 0; list < lists_; ++list) {
        sides.push_back({role, dtype, lists_ == 1 ? -1 : list});
      }
    };
    declare("average", tensorflow::DT_BFLOAT16);
    declare("remainder", tensorflow::DT_INT16);
    sides.push_back({"variable", tensorflow::DT_BFLOAT16});
    std::vector<XlaOp> values;
    OP_REQUIRES_OK(ctx, VariableReader(ctx, sides, size_).Read(&values));
    const XlaOp rates = ctx->Input((2 * lists_ + 1) * size_);
    for (int list = 0; list < lists_; ++list) {
      const XlaOp rate = xla::Reshape(xla::SliceInDim(rates, list, list + 1, 1, 0), {});
      for (int i = 0; i < size_; ++i) {
        const int high = list * size_ + i;
        const int remainder = (lists_ + list) * size_ + i;
        const Halves updated =
            Updated({values[high], values[remainder]}, values[2 * lists_ * size_ + i], rate);
        OP_REQUIRES_OK(ctx, ctx->AssignVariable(high, tensorflow::DT_BFLOAT16, updated.high));
        OP_REQUIRES_OK(ctx,
                       ctx->AssignVariable(remainder, tensorflow::DT_INT16, updated.remainder));
      }
    }
  }

 private:
  int lists_;
  int size_;
};

REGISTER_XLA_OP(Name("ResourceApplySplitMovingAverage"), ApplySplitMovingAverageXlaOp);

}  // namespace
}  // namespace tf_mavg
