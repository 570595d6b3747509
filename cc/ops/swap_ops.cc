// The ops that swap variables, as TensorFlow sees them: names, attributes, shape functions.
//
// Reference variables, resource variables and bindings, as in moving_average_ops.cc.

#include "absl/status/status.h"
#include "cc/ops/shapes.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::InferenceContext;

template <VariableKind kind>
absl::Status SwapVariablesShape(InferenceContext* c) {
  int size;
  TF_RETURN_IF_ERROR(c->GetAttr("N", &size));
  return CheckShapes(c, kind, 2, size);
}

REGISTER_OP("SwapVariables")
    .Input("first: Ref(N * T)")
    .Input("second: Ref(N * T)")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("copy: bool = false")
    .SetAllowsUninitializedInput()
    .SetShapeFn(SwapVariablesShape<VariableKind::kReference>)
    .Doc(
        "Exchanges the values of two lists bit for bit; with `copy`, every buffer stays in place.");

REGISTER_OP("ResourceSwapVariables")
    .Input("first: N * resource")
    .Input("second: N * resource")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("copy: bool = false")
    .SetIsStateful()
    .SetShapeFn(SwapVariablesShape<VariableKind::kResource>)
    .Doc(
        "Exchanges the values of two lists bit for bit; with `copy`, every buffer stays in place.");

REGISTER_OP("BoundSwapVariables")
    .Input("binding: resource")
    .Attr("index: int >= 0 = 0")
    .Attr("copy: bool = false")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs)
    .Doc("Exchanges a binding's variables with their averages of list `index`.");

}  // namespace
}  // namespace tf_mavg
