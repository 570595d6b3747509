// What the XLA kernels of updates of averages have in common: they read all, then assign all.

#ifndef TF_MAVG_CC_XLA_AVERAGES_XLA_H_
#define TF_MAVG_CC_XLA_AVERAGES_XLA_H_

#include "cc/xla/xla_builder.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/core/framework/types.h"

namespace tf_mavg {

// Whether a rate, a float32 scalar, has one of the values that are no arithmetic.
xla::XlaOp IsRate(const xla::XlaOp& rate, float value);

// UpdatedAverage of cc/core/formulas/moving_average.h, in float64 for float64 averages, else in
// float32.
xla::XlaOp MovedAverage(const xla::XlaOp& average, const xla::XlaOp& variable,
                        const xla::XlaOp& rate, tensorflow::DataType dtype);

// Inputs are lists of averages, the list of variables, the rates, and what else an update takes.
class ApplyAveragesXlaOp : public tensorflow::XlaOpKernel {
 public:
  explicit ApplyAveragesXlaOp(tensorflow::OpKernelConstruction* ctx);

  void Compile(tensorflow::XlaOpKernelContext* ctx) override;

 protected:
  // The value of an average of a list after the update, of the average's dtype.
  virtual xla::XlaOp Updated(tensorflow::XlaOpKernelContext* ctx, int list,
                             const xla::XlaOp& average, const xla::XlaOp& variable,
                             const xla::XlaOp& rate) = 0;

  tensorflow::DataType average_dtype() const { return average_dtype_; }

 private:
  int lists_;
  int size_;
  tensorflow::DataType average_dtype_;
  tensorflow::DataType variable_dtype_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_XLA_AVERAGES_XLA_H_
