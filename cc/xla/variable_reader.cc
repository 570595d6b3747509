// Reads and checks variables. See variable_reader.h for the contract.

#include "cc/xla/variable_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tf_mavg {

using ::tensorflow::DataTypeString;
using ::tensorflow::TensorShape;
using ::tensorflow::XlaResource;

absl::Status VariableReader::Read(std::vector<xla::XlaOp>* values) {
  const int last = static_cast<int>(sides_.size()) - 1;
  values->resize(sides_.size() * size_);
  std::vector<TensorShape> shapes(sides_.size());
  std::vector<std::string> places(sides_.size());
  for (int i = 0; i < size_; ++i) {
    for (int side = 0; side <= last; ++side) {
      TF_RETURN_IF_ERROR(
          ReadVariable(side, i, &shapes[side], &places[side], &(*values)[side * size_ + i]));
    }
    for (int side = 0; side < last; ++side) {
      if (shapes[side] == shapes[last]) continue;
      return Invalid(absl::StrCat(places[side], " must have the shape of ", places[last], ", ",
                                  shapes[last].DebugString(),
                                  ". Received: ", shapes[side].DebugString(), "."));
    }
  }
  return absl::OkStatus();
}

absl::Status VariableReader::ReadVariable(int side, int position, TensorShape* shape,
                                          std::string* place, xla::XlaOp* value) {
  const int input = side * size_ + position;
  XlaResource* resource;
  TF_RETURN_IF_ERROR(ctx_->GetResourceInput(input, &resource));
  const std::string of_list =
      sides_[side].list < 0 ? "" : absl::StrCat(" of list ", sides_[side].list);
  *place = absl::StrCat(sides_[side].role, " ", position, of_list, " ('", resource->name(), "')");
  const auto [other, is_new] = places_.emplace(resource, *place);
  if (!is_new) {
    return Invalid(absl::StrCat("all variables must be distinct. Received: the same variable as ",
                                other->second, " and as ", *place, "."));
  }
  if (!resource->initialized()) {
    return absl::FailedPreconditionError(
        absl::StrCat(Op(), ": ", *place,
                     " must be initialized. Received: an uninitialized or deleted variable."));
  }
  if (resource->type() != sides_[side].dtype) {
    return Invalid(absl::StrCat(*place, " must be ", DataTypeString(sides_[side].dtype),
                                ". Received: ", DataTypeString(resource->type()), "."));
  }
  return ctx_->ReadVariableInput(input, sides_[side].dtype, shape, value);
}

absl::Status VariableReader::Invalid(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(Op(), ": ", what));
}

}  // namespace tf_mavg
