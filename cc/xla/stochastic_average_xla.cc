// The XLA kernel of the update with stochastic rounding: random_bits.h and stochastic_rounding.h of
// cc/core/formulas, in XLA's own integers.
//
// Alike to the bit, except that XLA may contract the product and the last subtraction of what is
// rounded.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/random_bits.h"
#include "cc/xla/averages_xla.h"
#include "cc/xla/xla_builder.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "xla/shape_util.h"

namespace tf_mavg {
namespace {

using ::xla::XlaOp;

template <typename Number>
XlaOp Constant(const XlaOp& like, Number number) {
  return xla::ConstantR0<Number>(like.builder(), number);
}

XlaOp Word(const XlaOp& like, uint32_t word) { return Constant<uint32_t>(like, word); }

XlaOp XorOfShifted(const XlaOp& bits, const XlaOp& by) {
  return xla::Xor(bits, xla::ShiftRightLogical(bits, by));
}

XlaOp Absorbed(const XlaOp& state, const XlaOp& number) {
  const auto wide = [&](uint64_t constant) { return Constant<uint64_t>(state, constant); };
  XlaOp mixed = xla::Add(xla::Add(state, number), wide(0x9e3779b97f4a7c15u));
  mixed = xla::Mul(XorOfShifted(mixed, wide(30)), wide(0xbf58476d1ce4e5b9u));
  mixed = xla::Mul(XorOfShifted(mixed, wide(27)), wide(0x94d049bb133111ebu));
  return XorOfShifted(mixed, wide(31));
}

// The words that a variable's elements draw, in its shape; offsets are below 2^32.
XlaOp RandomBitsOf(const XlaOp& keys, int list, const xla::Shape& shape) {
  XlaOp state = Constant<uint64_t>(keys, 0);
  for (int i = 0; i < kKeyNumbers; ++i) {
    const XlaOp number = xla::Slice(keys, {list, i}, {list + 1, i + 1}, {1, 1});
    state = Absorbed(state, xla::ConvertElementType(xla::Reshape(number, {}), xla::U64));
  }
  state = Absorbed(state, Constant<uint64_t>(keys, 0));
  const XlaOp first = xla::ConvertElementType(state, xla::U32);
  const XlaOp middle = xla::ConvertElementType(
      xla::ShiftRightLogical(state, Constant<uint64_t>(keys, 32)), xla::U32);
  const int64_t elements = xla::ShapeUtil::ElementsIn(shape);
  const XlaOp offsets =
      xla::Reshape(xla::Iota(keys.builder(), xla::U32, elements), shape.dimensions());
  XlaOp counter = xla::Add(offsets, first);
  counter = xla::Mul(XorOfShifted(counter, Word(keys, 16)), Word(keys, 0x7feb352du));
  counter = xla::Xor(XorOfShifted(counter, Word(keys, 15)), middle);
  counter = xla::Mul(counter, Word(keys, 0x846ca68bu));
  return XorOfShifted(counter, Word(keys, 16));
}

XlaOp RoundedToBfloat16(const XlaOp& wide, const XlaOp& random) {
  const XlaOp bits = xla::BitcastConvertType(wide, xla::U32);
  const XlaOp is_below = xla::Lt(xla::And(bits, Word(bits, 0x7fffffffu)), Word(bits, 0x7f7f0000u));
  const XlaOp noise = xla::ShiftRightLogical(random, Word(bits, 16));
  const XlaOp rounded = xla::ShiftRightLogical(xla::Add(bits, noise), Word(bits, 16));
  return xla::Select(is_below,
                     xla::BitcastConvertType(xla::ConvertElementType(rounded, xla::U16), xla::BF16),
                     xla::ConvertElementType(wide, xla::BF16));
}

// XLA shifts by 32 and more to 0, so there is less to distinguish than in stochastic_rounding.h.
XlaOp RoundedToFloat16(const XlaOp& wide, const XlaOp& random) {
  const XlaOp bits = xla::BitcastConvertType(wide, xla::U32);
  const auto word = [&](uint32_t constant) { return Word(bits, constant); };
  const XlaOp magnitude = xla::And(bits, word(0x7fffffffu));
  const XlaOp exponent = xla::ShiftRightLogical(magnitude, word(23));
  const XlaOp significand = xla::Or(xla::And(magnitude, word(0x007fffffu)), word(0x00800000u));
  const XlaOp dropped_bits = xla::Sub(word(126), xla::Min(exponent, word(113)));
  const XlaOp kept = xla::ShiftRightLogical(significand, dropped_bits);
  const XlaOp coarse = xla::ShiftRightLogical(
      xla::ShiftLeft(significand, xla::Sub(word(32), dropped_bits)), word(1));
  const XlaOp fine = xla::ShiftRightLogical(significand, xla::Sub(dropped_bits, word(31)));
  const XlaOp chance = xla::Select(xla::Lt(dropped_bits, word(32)), coarse, fine);
  const XlaOp step =
      xla::ConvertElementType(xla::Lt(xla::ShiftRightLogical(random, word(1)), chance), xla::U32);
  const XlaOp normal = xla::ShiftLeft(xla::Sub(xla::Max(exponent, word(113)), word(113)), word(10));
  const XlaOp sign = xla::And(xla::ShiftRightLogical(bits, word(16)), word(0x8000u));
  const XlaOp rounded = xla::Or(sign, xla::Add(xla::Add(normal, kept), step));
  return xla::Select(xla::Lt(magnitude, word(0x477fe000u)),
                     xla::BitcastConvertType(xla::ConvertElementType(rounded, xla::U16), xla::F16),
                     xla::ConvertElementType(wide, xla::F16));
}

class ApplyStochasticAverageXlaOp : public ApplyAveragesXlaOp {
 public:
  using ApplyAveragesXlaOp::ApplyAveragesXlaOp;

 private:
  XlaOp Updated(tensorflow::XlaOpKernelContext* ctx, int list, const XlaOp& average,
                const XlaOp& variable, const XlaOp& rate) override {
    const auto shape = ctx->builder()->GetShape(average);
    if (!shape.ok()) return ctx->builder()->ReportError(shape.status());
    if (xla::ShapeUtil::ElementsIn(*shape) > int64_t{1} << 32) {
      return ctx->builder()->ReportError(absl::UnimplementedError(absl::StrCat(
          type_string_view(), ": XLA compiles stochastic rounding of variables of at most 2^32 ",
          "elements. Received: ", xla::ShapeUtil::ElementsIn(*shape), "; compile without XLA.")));
    }
    const XlaOp random = RandomBitsOf(ctx->Input(ctx->num_inputs() - 1), list, *shape);
    const XlaOp moved = MovedAverage(average, variable, rate, average_dtype());
    const XlaOp rounded = average_dtype() == tensorflow::DT_HALF ? RoundedToFloat16(moved, random)
                                                                 : RoundedToBfloat16(moved, random);
    return xla::Select(IsRate(rate, kKeep), average,
                       xla::Select(IsRate(rate, kCopy), variable, rounded));
  }
};

REGISTER_XLA_OP(Name("ResourceApplyStochasticAverage"), ApplyStochasticAverageXlaOp);

}  // namespace
}  // namespace tf_mavg
