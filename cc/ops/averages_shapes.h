// The shape function of the ops that update averages.

#ifndef TF_MAVG_CC_OPS_AVERAGES_SHAPES_H_
#define TF_MAVG_CC_OPS_AVERAGES_SHAPES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/ops/lists_of_averages.h"
#include "cc/ops/shapes.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tf_mavg {

// Checks the shapes of averages, variables and rates, the input that follows the lists; returns how
// many averages each variable has.
inline absl::Status CheckAveragesShapes(tensorflow::shape_inference::InferenceContext* c,
                                        absl::string_view op, VariableKind kind, int* lists) {
  int averages, variables;
  TF_RETURN_IF_ERROR(c->GetAttr("M", &averages));
  TF_RETURN_IF_ERROR(c->GetAttr("N", &variables));
  TF_RETURN_IF_ERROR(CountLists(op, averages, variables, lists));
  TF_RETURN_IF_ERROR(CheckShapes(c, kind, *lists + 1, variables));
  tensorflow::shape_inference::ShapeHandle rates;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(averages + variables), 1, &rates));
  tensorflow::shape_inference::DimensionHandle one_a_list;
  return c->WithValue(c->Dim(rates, 0), *lists, &one_a_list);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_OPS_AVERAGES_SHAPES_H_
