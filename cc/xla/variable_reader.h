// Reads the variables of an op that XLA compiles: checked, so that nothing is assigned in vain.
//
// The XLA kernels are in a shared library of their own: they need libtensorflow_cc.so.2, and where
// that cannot be loaded the other kernels must still work. XLA aliases an assigned variable's new
// value with its parameter: compiled, an update is in place.

#ifndef TF_MAVG_CC_XLA_VARIABLE_READER_H_
#define TF_MAVG_CC_XLA_VARIABLE_READER_H_

#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/xla/xla_builder.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_resource.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/framework/types.h"

namespace tf_mavg {

// What one side is called in messages, and the dtype that its variables must have.
struct XlaSide {
  const char* role;
  tensorflow::DataType dtype;
  int list = -1;  // The number of the list, where several sides have one role.
};

class VariableReader {
 public:
  VariableReader(tensorflow::XlaOpKernelContext* ctx, std::vector<XlaSide> sides, int size)
      : ctx_(ctx), sides_(std::move(sides)), size_(size) {}

  // Reads inputs side * size + i, in this order: checked to be distinct, initialised, of their
  // side's dtype and of the shape of the last side's variable at their position.
  absl::Status Read(std::vector<xla::XlaOp>* values);

 private:
  absl::Status ReadVariable(int side, int position, tensorflow::TensorShape* shape,
                            std::string* place, xla::XlaOp* value);
  absl::string_view Op() const { return ctx_->op_kernel().type_string_view(); }
  absl::Status Invalid(absl::string_view what) const;

  tensorflow::XlaOpKernelContext* const ctx_;
  const std::vector<XlaSide> sides_;
  const int size_;
  std::unordered_map<const tensorflow::XlaResource*, std::string> places_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_XLA_VARIABLE_READER_H_
