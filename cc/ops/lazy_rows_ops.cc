// The ops on averages of which only some rows are touched, as TensorFlow sees them: names,
// attributes, shapes. See cc/core/formulas/lazy_rows.h for the rule.
//
// Resource variables only, in N tables: an average, the counters of its rows, its clock and its
// variable each.

#include "absl/status/status.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::NoOutputs;
using ::tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("CatchUpRows")
    .Input("averages: N * resource")
    .Input("seen: N * resource")
    .Input("clocks: N * resource")
    .Input("variables: N * resource")
    .Input("indices: N * Tindices")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .Attr("Tindices: {int32, int64}")
    .SetIsStateful()
    .SetShapeFn(NoOutputs)
    .Doc("Has the rows of the indices see all steps of their clocks, with the variables of now.");

REGISTER_OP("CatchUpAllRows")
    .Input("averages: N * resource")
    .Input("seen: N * resource")
    .Input("clocks: N * resource")
    .Input("variables: N * resource")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(NoOutputs)
    .Doc("Has all rows see all steps of their clocks, and starts the clocks anew.");

REGISTER_OP("AdvanceRowClocks")
    .Input("averages: N * resource")
    .Input("seen: N * resource")
    .Input("clocks: N * resource")
    .Input("variables: N * resource")
    .Input("rate: float")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle rate;
      return c->WithRank(c->input(c->num_inputs() - 1), 0, &rate);
    })
    .Doc("Notes a step in the clocks; catches up all rows of one that is full.");

REGISTER_OP("CheckRowsAreCaughtUp")
    .Input("seen: N * resource")
    .Input("clocks: N * resource")
    .Input("indices: Tindices")
    .Attr("N: int >= 1")
    .Attr("Tindices: list({int32, int64}) >= 0")
    .Attr("refusals: list(string)")
    .SetIsStateful()
    .SetShapeFn(NoOutputs)
    .Doc(
        "Fails by the refusal of a table unless the rows of the indices have seen all steps of its "
        "clock: those of the first tables; all rows of the tables that have no indices.");

}  // namespace
}  // namespace tf_mavg
