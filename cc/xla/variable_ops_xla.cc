// The XLA kernels of the ops on resource variables: what the ops mean, for the compiler to fuse.
//
// They are in a shared library of their own: they need libtensorflow_cc.so.2, and where that cannot
// be loaded the other kernels must still work. All that is known while compiling is checked before
// the first assignment; the value of `decay` is not known, so nothing checks it. XLA aliases an
// assigned variable's new value with its parameter: compiled, the update is in place.
//
// Order and rounding are those of core/average_formula.h, except that XLA may contract the product
// and the last subtraction.

#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "tensorflow/compiler/tf2xla/xla_resource.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/framework/types.h"
#include "xla/hlo/builder/lib/constants.h"
#include "xla/hlo/builder/xla_builder.h"

namespace tf_mavg {
namespace {

using ::tensorflow::DataType;
using ::tensorflow::DataTypeString;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::TensorShape;
using ::tensorflow::XlaOpKernel;
using ::tensorflow::XlaOpKernelContext;
using ::tensorflow::XlaResource;

// What one side of the pairs is called in messages, and the dtype that it must have.
struct Side {
  const char* role;
  DataType dtype;
};

struct PairValues {
  xla::XlaOp first;
  xla::XlaOp second;
};

// Reads N pairs from inputs 0..N-1 and N..2N-1: checked to be distinct, initialised, of their
// side's dtype and of one shape a pair.
class PairReader {
 public:
  PairReader(XlaOpKernelContext* ctx, const Side& first, const Side& second)
      : ctx_(ctx), first_(first), second_(second) {}

  absl::Status Read(int count, std::vector<PairValues>* pairs) {
    pairs->resize(count);
    for (int i = 0; i < count; ++i) {
      TensorShape received, expected;
      TF_RETURN_IF_ERROR(ReadSide(first_, i, i, &received, &(*pairs)[i].first));
      TF_RETURN_IF_ERROR(ReadSide(second_, i, count + i, &expected, &(*pairs)[i].second));
      if (received != expected) {
        return Invalid(absl::StrCat(places_[Resource(i)], " must have the shape of ",
                                    places_[Resource(count + i)], ", ", expected.DebugString(),
                                    ". Received: ", received.DebugString(), "."));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadSide(const Side& side, int position, int input, TensorShape* shape,
                        xla::XlaOp* value) {
    XlaResource* resource;
    TF_RETURN_IF_ERROR(ctx_->GetResourceInput(input, &resource));
    const std::string place = absl::StrCat(side.role, " ", position, " ('", resource->name(), "')");
    const auto [other, is_new] = places_.emplace(resource, place);
    if (!is_new) {
      return Invalid(
          absl::StrCat("the variables of all pairs must be distinct. Received: the same "
                       "variable as ",
                       other->second, " and as ", place, "."));
    }
    if (!resource->initialized()) {
      return absl::FailedPreconditionError(
          absl::StrCat(Op(), ": ", place,
                       " must be initialized. Received: an uninitialized or deleted variable."));
    }
    if (resource->type() != side.dtype) {
      return Invalid(absl::StrCat(place, " must be ", DataTypeString(side.dtype),
                                  ". Received: ", DataTypeString(resource->type()), "."));
    }
    return ctx_->ReadVariableInput(input, side.dtype, shape, value);
  }

  const XlaResource* Resource(int input) {
    XlaResource* resource = nullptr;
    return ctx_->GetResourceInput(input, &resource).ok() ? resource : nullptr;
  }

  absl::string_view Op() const { return ctx_->op_kernel().type_string_view(); }

  absl::Status Invalid(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(Op(), ": ", what));
  }

  XlaOpKernelContext* const ctx_;
  const Side first_;
  const Side second_;
  std::unordered_map<const XlaResource*, std::string> places_;
};

// Half precision is computed in float32 and rounded once, as the other kernels do.
xla::XlaOp UpdatedAverage(const PairValues& pair, const xla::XlaOp& decay, DataType dtype) {
  const auto compute = dtype == tensorflow::DT_DOUBLE ? xla::F64 : xla::F32;
  const auto stored = dtype == tensorflow::DT_HALF       ? xla::F16
                      : dtype == tensorflow::DT_BFLOAT16 ? xla::BF16
                                                         : compute;
  const xla::XlaOp one_minus_decay =
      xla::ConvertElementType(xla::Sub(xla::ScalarLike(decay, 1.0f), decay), compute);
  const xla::XlaOp average = xla::ConvertElementType(pair.first, compute);
  const xla::XlaOp variable = xla::ConvertElementType(pair.second, compute);
  const xla::XlaOp updated =
      xla::Sub(average, xla::Mul(xla::Sub(average, variable), one_minus_decay));
  return xla::ConvertElementType(updated, stored);
}

class ApplyMovingAverageXlaOp : public XlaOpKernel {
 public:
  explicit ApplyMovingAverageXlaOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &count_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("Tavg", &averages_.dtype));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &variables_.dtype));
    const bool is_half =
        variables_.dtype == tensorflow::DT_HALF || variables_.dtype == tensorflow::DT_BFLOAT16;
    OP_REQUIRES(
        ctx,
        averages_.dtype == variables_.dtype || (averages_.dtype == tensorflow::DT_FLOAT && is_half),
        absl::InvalidArgumentError(absl::StrCat(
            ctx->def().op(), ": an average must have the dtype of its variable, or be ",
            "float for a variable of half or bfloat16. Received: an average of ",
            DataTypeString(averages_.dtype), " for a variable of ",
            DataTypeString(variables_.dtype), ".")));
  }

  void Compile(XlaOpKernelContext* ctx) override {
    std::vector<PairValues> pairs;
    OP_REQUIRES_OK(ctx, PairReader(ctx, averages_, variables_).Read(count_, &pairs));
    const xla::XlaOp decay = ctx->Input(2 * count_);
    for (int i = 0; i < count_; ++i) {
      const xla::XlaOp updated = UpdatedAverage(pairs[i], decay, averages_.dtype);
      OP_REQUIRES_OK(ctx, ctx->AssignVariable(i, averages_.dtype, updated));
    }
  }

 private:
  int count_;
  Side averages_{"average", tensorflow::DT_INVALID};
  Side variables_{"variable", tensorflow::DT_INVALID};
};

// The compiler decides which buffers change places, so the attribute `copy` has no meaning here.
class SwapVariablesXlaOp : public XlaOpKernel {
 public:
  explicit SwapVariablesXlaOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("N", &count_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("T", &dtype_));
  }

  void Compile(XlaOpKernelContext* ctx) override {
    std::vector<PairValues> pairs;
    PairReader reader(ctx, {"first variable", dtype_}, {"second variable", dtype_});
    OP_REQUIRES_OK(ctx, reader.Read(count_, &pairs));
    for (int i = 0; i < count_; ++i) {
      OP_REQUIRES_OK(ctx, ctx->AssignVariable(i, dtype_, pairs[i].second));
      OP_REQUIRES_OK(ctx, ctx->AssignVariable(count_ + i, dtype_, pairs[i].first));
    }
  }

 private:
  int count_;
  DataType dtype_;
};

REGISTER_XLA_OP(Name("ResourceApplyMovingAverage"), ApplyMovingAverageXlaOp);
REGISTER_XLA_OP(Name("ResourceSwapVariables"), SwapVariablesXlaOp);

}  // namespace
}  // namespace tf_mavg
