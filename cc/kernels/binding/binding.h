// The binding: variables and their averages, bound once and handed to ops as one resource.
//
// Ownership: a binding holds a counted reference to every variable. Names lie in the handles that
// it holds, or in the kernel that made it and outlives the step. Whoever holds a handle to the
// binding keeps it alive. Locks: a binding is immutable, so many ops may use it at once; they meet
// at the variables' locks. Buffers are looked up under those locks at every step, since an
// assignment may replace one.

#ifndef TF_MAVG_CC_KERNELS_BINDING_BINDING_H_
#define TF_MAVG_CC_KERNELS_BINDING_BINDING_H_

#include <string>
#include <utility>
#include <vector>

#include "cc/core/dtypes.h"
#include "cc/kernels/moving_average/moving_average.h"
#include "cc/kernels/variables/variable_lists.h"
#include "tensorflow/core/framework/resource_base.h"
#include "tensorflow/core/framework/tensor.h"

namespace tf_mavg {

class Binding : public tensorflow::ResourceBase {
 public:
  // `handles`, if any, hold the names that the lists borrow.
  Binding(const MovingAverageSides& sides, VariableLists lists,
          std::vector<tensorflow::Tensor> handles)
      : dtypes_(sides.dtypes),
        is_split_(sides.is_split),
        lists_(std::move(lists)),
        handles_(std::move(handles)) {}

  // The binding of a handle in input 0 of an op.
  static absl::Status FromInput(tensorflow::OpKernelContext* ctx,
                                tensorflow::core::RefCountPtr<Binding>* binding);

  std::string DebugString() const override;
  // What a message shows of the handle, where it cannot go on: it says what to do.
  std::string MakeRefCountingHandleName(int64_t resource_id) const override;

  Dtypes dtypes() const { return dtypes_; }
  // Whether averages are split, and the lists have remainders.
  bool is_split() const { return is_split_; }
  // How many averages each variable has.
  int averages() const { return (lists_.depth() - 1) / (is_split_ ? 2 : 1); }
  // Averages first, then remainders if there are any, the variables last.
  const VariableLists& lists() const { return lists_; }

 private:
  const Dtypes dtypes_;
  const bool is_split_;
  const VariableLists lists_;
  const std::vector<tensorflow::Tensor> handles_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_BINDING_BINDING_H_
