// The ops that update averages with stochastic rounding, as TensorFlow sees them: names,
// attributes, shape functions.
//
// As in moving_average_ops.cc, with one more input: for each list of averages the seed, the number
// of the update and the index of the average, on which its random bits depend.

#include "absl/status/status.h"
#include "cc/core/formulas/random_bits.h"
#include "cc/ops/averages_shapes.h"
#include "cc/ops/shapes.h"
#include "tensorflow/core/framework/op.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status CheckKeys(InferenceContext* c, ShapeHandle* keys) {
  TF_RETURN_IF_ERROR(c->WithRank(c->input(c->num_inputs() - 1), 2, keys));
  DimensionHandle numbers;
  return c->WithValue(c->Dim(*keys, 1), kKeyNumbers, &numbers);
}

template <VariableKind kind>
absl::Status ApplyStochasticAverageShape(InferenceContext* c) {
  int lists;
  TF_RETURN_IF_ERROR(CheckAveragesShapes(c, "ApplyStochasticAverage", kind, &lists));
  ShapeHandle keys;
  TF_RETURN_IF_ERROR(CheckKeys(c, &keys));
  DimensionHandle one_a_list;
  return c->WithValue(c->Dim(keys, 0), lists, &one_a_list);
}

REGISTER_OP("ApplyStochasticAverage")
    .Input("averages: Ref(M * Tavg)")
    .Input("variables: Ref(N * T)")
    .Input("rates: float")
    .Input("keys: int64")
    .Attr("M: int >= 1")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16}")
    .Attr("Tavg: {half, bfloat16}")
    .SetAllowsUninitializedInput()
    .SetShapeFn(ApplyStochasticAverageShape<VariableKind::kReference>)
    .Doc("ApplyMovingAverage with stochastic rounding.");

REGISTER_OP("ResourceApplyStochasticAverage")
    .Input("averages: M * resource")
    .Input("variables: N * resource")
    .Input("rates: float")
    .Input("keys: int64")
    .Attr("M: int >= 1")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16}")
    .Attr("Tavg: {half, bfloat16}")
    .SetIsStateful()
    .SetShapeFn(ApplyStochasticAverageShape<VariableKind::kResource>)
    .Doc("ResourceApplyMovingAverage with stochastic rounding.");

REGISTER_OP("BoundApplyStochasticAverage")
    .Input("binding: resource")
    .Input("rates: float")
    .Input("keys: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle rates, keys;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &rates));
      return CheckKeys(c, &keys);
    })
    .Doc("ResourceApplyStochasticAverage on the variables of a binding.");

}  // namespace
}  // namespace tf_mavg
