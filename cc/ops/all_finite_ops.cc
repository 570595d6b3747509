// The ops that say whether variables are finite, as TensorFlow sees them: names, attributes,
// shapes.
//
// Reference variables, resource variables and bindings, as in moving_average_ops.cc. They are
// stateful, so that two of them with a write between them are never taken for one.

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"

namespace tf_mavg {
namespace {

using ::tensorflow::shape_inference::ScalarShape;

REGISTER_OP("AllFinite")
    .Input("variables: Ref(N * T)")
    .Output("all_finite: bool")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetAllowsUninitializedInput()
    .SetShapeFn(ScalarShape)
    .Doc("Whether no element of any of the variables is infinite or NaN; in host memory.");

REGISTER_OP("ResourceAllFinite")
    .Input("variables: N * resource")
    .Output("all_finite: bool")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16, float, double}")
    .SetIsStateful()
    .SetShapeFn(ScalarShape)
    .Doc("Whether no element of any of the variables is infinite or NaN; in host memory.");

REGISTER_OP("BoundAllFinite")
    .Input("binding: resource")
    .Output("all_finite: bool")
    .SetIsStateful()
    .SetShapeFn(ScalarShape)
    .Doc("ResourceAllFinite on the variables of a binding, not on their averages.");

}  // namespace
}  // namespace tf_mavg
