// The dtypes that an average and its variable may have, in TensorFlow's terms.
//
// A translation of cc/core/dtypes.h, for whatever checks the attributes of an op.

#ifndef TF_MAVG_CC_OPS_DTYPES_H_
#define TF_MAVG_CC_OPS_DTYPES_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/core/dtypes.h"
#include "tensorflow/core/framework/types.h"

namespace tf_mavg {

template <typename Element>
inline constexpr tensorflow::DataType kDataType = tensorflow::DataTypeToEnum<Element>::value;
template <>
inline constexpr tensorflow::DataType kDataType<Float16> = tensorflow::DT_HALF;
template <>
inline constexpr tensorflow::DataType kDataType<Bfloat16> = tensorflow::DT_BFLOAT16;

// Finds the two in the list; an error of the op if an average of this dtype serves no such
// variable.
inline absl::Status FindDtypes(absl::string_view op, tensorflow::DataType average,
                               tensorflow::DataType variable, Dtypes* dtypes) {
#define TF_MAVG_FIND(name, Average, Variable)                             \
  if (average == kDataType<Average> && variable == kDataType<Variable>) { \
    *dtypes = Dtypes::name;                                               \
    return absl::OkStatus();                                              \
  }
  TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_FIND)
#undef TF_MAVG_FIND
  return absl::InvalidArgumentError(absl::StrCat(
      op,
      ": an average must have the dtype of its variable, or be float for a variable of half or ",
      "bfloat16. Received: an average of ", tensorflow::DataTypeString(average),
      " for a variable of ", tensorflow::DataTypeString(variable), "."));
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_OPS_DTYPES_H_
