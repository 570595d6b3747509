// The ops of tf_mavg as TensorFlow sees them: names, attributes, shape functions.
//
// TensorFlow's own naming: ApplyX takes reference variables, ResourceApplyX resource variables. A
// group is a resource made from pairs of resource variables; the ops on it do what the per-variable
// ops do, but hand the runtime one tensor a step instead of two a pair.
//
// The ops on reference variables allow uninitialised input only so that their kernels, not the
// executor, report it: with the op, the variable and its position.

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

enum class VariableKind { kReference, kResource };

ShapeHandle VariableShape(InferenceContext* c, VariableKind kind, int input) {
  if (kind == VariableKind::kReference) return c->input(input);
  const auto* handle = c->input_handle_shapes_and_types(input);
  return handle == nullptr || handle->empty() ? c->UnknownShape() : (*handle)[0].shape;
}

// Inputs 0..N-1 and N..2N-1 are the two sides of N pairs, whose shapes must agree.
template <VariableKind kind>
absl::Status CheckPairShapes(InferenceContext* c) {
  int pairs;
  TF_RETURN_IF_ERROR(c->GetAttr("N", &pairs));
  for (int i = 0; i < pairs; ++i) {
    const ShapeHandle first = VariableShape(c, kind, i);
    const ShapeHandle second = VariableShape(c, kind, pairs + i);
    ShapeHandle merged;
    if (!c->Merge(first, second, &merged).ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "The variables of pair ", i, " must have equal shapes. Received: ", c->DebugString(first),
          " and ", c->DebugString(second), "."));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckScalar(InferenceContext* c, int input) {
  ShapeHandle scalar;
  return c->WithRank(c->input(input), 0, &scalar);
}

template <VariableKind kind>
absl::Status ApplyMovingAverageShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckPairShapes<kind>(c));
  return CheckScalar(c, c->num_inputs() - 1);
}

absl::Status GroupShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckPairShapes<VariableKind::kResource>(c));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

REGISTER_OP("ApplyMovingAverage")
    .Input("averages: Ref(N * Tavg)")
    .Input("variables: Ref(N * T)")
    .Input("decay: float")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetAllowsUninitializedInput()
    .SetShapeFn(ApplyMovingAverageShape<VariableKind::kReference>)
    .Doc("average -= (average - variable) * (1 - decay), for N pairs in one pass.");

REGISTER_OP("ResourceApplyMovingAverage")
    .Input("averages: N * resource")
    .Input("variables: N * resource")
    .Input("decay: float")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(ApplyMovingAverageShape<VariableKind::kResource>)
    .Doc("average -= (average - variable) * (1 - decay), for N pairs in one pass.");

REGISTER_OP("SwapVariables")
    .Input("first: Ref(N * T)")
    .Input("second: Ref(N * T)")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("copy: bool = false")
    .SetAllowsUninitializedInput()
    .SetShapeFn(CheckPairShapes<VariableKind::kReference>)
    .Doc("Exchanges the values of N pairs bit for bit; with `copy`, every buffer stays in place.");

REGISTER_OP("ResourceSwapVariables")
    .Input("first: N * resource")
    .Input("second: N * resource")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("copy: bool = false")
    .SetIsStateful()
    .SetShapeFn(CheckPairShapes<VariableKind::kResource>)
    .Doc("Exchanges the values of N pairs bit for bit; with `copy`, every buffer stays in place.");

REGISTER_OP("VariablePairGroup")
    .Input("averages: N * resource")
    .Input("variables: N * resource")
    .Output("group: resource")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(GroupShape)
    .Doc("Binds N pairs to one resource, which keeps the variables alive as long as it lives.");

REGISTER_OP("NamedVariablePairGroup")
    .Output("group: resource")
    .Attr("averages: list(string) >= 1")
    .Attr("variables: list(string) >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::ScalarShape)
    .Doc("VariablePairGroup of the variables with these names in the device's default container.");

REGISTER_OP("GroupApplyMovingAverage")
    .Input("group: resource")
    .Input("decay: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) { return CheckScalar(c, 1); })
    .Doc("ResourceApplyMovingAverage on the pairs of a group.");

REGISTER_OP("GroupSwapVariables")
    .Input("group: resource")
    .Attr("copy: bool = false")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs)
    .Doc("ResourceSwapVariables on the pairs of a group.");

}  // namespace
}  // namespace tf_mavg
