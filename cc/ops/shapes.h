// What the shape functions of the ops share: lists of variables whose shapes must agree.

#ifndef TF_MAVG_CC_OPS_SHAPES_H_
#define TF_MAVG_CC_OPS_SHAPES_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tf_mavg {

enum class VariableKind { kReference, kResource };

inline tensorflow::shape_inference::ShapeHandle VariableShape(
    tensorflow::shape_inference::InferenceContext* c, VariableKind kind, int input) {
  if (kind == VariableKind::kReference) return c->input(input);
  const auto* handle = c->input_handle_shapes_and_types(input);
  return handle == nullptr || handle->empty() ? c->UnknownShape() : (*handle)[0].shape;
}

// Inputs side * size + i, of `depth` sides: those with one i must agree in shape with the last one.
inline absl::Status CheckShapes(tensorflow::shape_inference::InferenceContext* c, VariableKind kind,
                                int depth, int size) {
  for (int input = 0; input < (depth - 1) * size; ++input) {
    const int last = (depth - 1) * size + input % size;
    const auto shape = VariableShape(c, kind, input);
    const auto expected = VariableShape(c, kind, last);
    tensorflow::shape_inference::ShapeHandle merged;
    if (!c->Merge(shape, expected, &merged).ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "The variables at position ", input % size, " must have equal shapes. Received: ",
          c->DebugString(shape), " and ", c->DebugString(expected), "."));
    }
  }
  return absl::OkStatus();
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_OPS_SHAPES_H_
