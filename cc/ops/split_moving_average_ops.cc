// The ops that update split averages, as TensorFlow sees them: names, attributes, shape functions.
//
// Reference and resource variables, as in moving_average_ops.cc. What is bound is updated by the op
// that updates bindings of all kinds.

#include "absl/status/status.h"
#include "cc/ops/lists_of_averages.h"
#include "cc/ops/shapes.h"
#include "tensorflow/core/framework/op.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

template <VariableKind kind>
absl::Status ApplySplitMovingAverageShape(InferenceContext* c) {
  int averages, variables, lists;
  TF_RETURN_IF_ERROR(c->GetAttr("M", &averages));
  TF_RETURN_IF_ERROR(c->GetAttr("N", &variables));
  TF_RETURN_IF_ERROR(
      CountSplitLists("ApplySplitMovingAverage", averages, averages, variables, &lists));
  TF_RETURN_IF_ERROR(CheckShapes(c, kind, 2 * lists + 1, variables));
  ShapeHandle rates;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(c->num_inputs() - 1), 1, &rates));
  DimensionHandle one_a_list;
  return c->WithValue(c->Dim(rates, 0), lists, &one_a_list);
}

REGISTER_OP("ApplySplitMovingAverage")
    .Input("averages: Ref(M * bfloat16)")
    .Input("remainders: Ref(M * int16)")
    .Input("variables: Ref(N * bfloat16)")
    .Input("rates: float")
    .Attr("M: int >= 1")
    .Attr("N: int >= 1")
    .SetAllowsUninitializedInput()
    .SetShapeFn(ApplySplitMovingAverageShape<VariableKind::kReference>)
    .Doc("ApplyMovingAverage of float32 averages, each kept as bfloat16 and a remainder.");

REGISTER_OP("ResourceApplySplitMovingAverage")
    .Input("averages: M * resource")
    .Input("remainders: M * resource")
    .Input("variables: N * resource")
    .Input("rates: float")
    .Attr("M: int >= 1")
    .Attr("N: int >= 1")
    .SetIsStateful()
    .SetShapeFn(ApplySplitMovingAverageShape<VariableKind::kResource>)
    .Doc("ApplyMovingAverage of float32 averages, each kept as bfloat16 and a remainder.");

}  // namespace
}  // namespace tf_mavg
