// The ops that update averages, as TensorFlow sees them: names, attributes, shape functions.
//
// TensorFlow's own naming: ApplyX takes reference variables, ResourceApplyX resource variables. The
// op on a binding does what the others do, but the runtime hands it one tensor a step instead of
// one a variable.
//
// The op on reference variables allows uninitialised input only so that its kernel, not the
// executor, reports it: with the op, the variable and its position.

#include "absl/status/status.h"
#include "cc/ops/averages_shapes.h"
#include "cc/ops/shapes.h"
#include "tensorflow/core/framework/op.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

template <VariableKind kind>
absl::Status ApplyMovingAverageShape(InferenceContext* c) {
  int lists;
  return CheckAveragesShapes(c, "ApplyMovingAverage", kind, &lists);
}

REGISTER_OP("ApplyMovingAverage")
    .Input("averages: Ref(M * Tavg)")
    .Input("variables: Ref(N * T)")
    .Input("rates: float")
    .Attr("M: int >= 1")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetAllowsUninitializedInput()
    .SetShapeFn(ApplyMovingAverageShape<VariableKind::kReference>)
    .Doc("average -= (average - variable) * rates[k], for K averages of N variables in one pass.");

REGISTER_OP("ResourceApplyMovingAverage")
    .Input("averages: M * resource")
    .Input("variables: N * resource")
    .Input("rates: float")
    .Attr("M: int >= 1")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(ApplyMovingAverageShape<VariableKind::kResource>)
    .Doc("average -= (average - variable) * rates[k], for K averages of N variables in one pass.");

REGISTER_OP("BoundApplyMovingAverage")
    .Input("binding: resource")
    .Input("rates: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle rates;
      return c->WithRank(c->input(1), 1, &rates);
    })
    .Doc("ResourceApplyMovingAverage on the variables of a binding.");

}  // namespace
}  // namespace tf_mavg
