// The ops that make bindings, as TensorFlow sees them: names, attributes, shape functions.
//
// A binding is a resource made from variables and their averages, so that later ops on them take
// one handle.

#include "absl/status/status.h"
#include "cc/ops/lists_of_averages.h"
#include "cc/ops/shapes.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::InferenceContext;

absl::Status BindVariablesShape(InferenceContext* c) {
  int averages, remainders, variables, lists;
  TF_RETURN_IF_ERROR(c->GetAttr("M", &averages));
  TF_RETURN_IF_ERROR(c->GetAttr("R", &remainders));
  TF_RETURN_IF_ERROR(c->GetAttr("N", &variables));
  TF_RETURN_IF_ERROR(
      remainders == 0 ? CountLists("BindVariables", averages, variables, &lists)
                      : CountSplitLists("BindVariables", averages, remainders, variables, &lists));
  const int depth = (remainders == 0 ? 1 : 2) * lists + 1;
  TF_RETURN_IF_ERROR(CheckShapes(c, VariableKind::kResource, depth, variables));
  c->set_output(0, c->Scalar());
  return absl::OkStatus();
}

REGISTER_OP("BindVariables")
    .Input("averages: M * resource")
    .Input("remainders: R * resource")
    .Input("variables: N * resource")
    .Output("binding: resource")
    .Attr("M: int >= 1")
    .Attr("R: int >= 0")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(BindVariablesShape)
    .Doc(
        "Binds N variables, K averages of each, and their remainders if averages are split; the "
        "binding keeps all of them alive.");

REGISTER_OP("BindNamedVariables")
    .Output("binding: resource")
    .Attr("averages: list(string) >= 1")
    .Attr("remainders: list(string) = []")
    .Attr("variables: list(string) >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tavg: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::ScalarShape)
    .Doc("BindVariables of the variables with these names in the device's default container.");

REGISTER_OP("PrepareBoundUpdate")
    .Input("binding: resource")
    .Input("rates: float")
    .Output("addresses: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->Vector(3));
      return absl::OkStatus();
    })
    .Doc(
        "Prepares BoundApplyMovingAverage to be called in eager mode without the runtime: the "
        "addresses of an update, of what runs it and of what frees it.");

}  // namespace
}  // namespace tf_mavg
