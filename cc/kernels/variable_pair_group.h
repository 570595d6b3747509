// The group: pairs of resource variables bound once, handed to ops as one resource.
//
// Ownership: a group holds a counted reference to every variable. Names lie in the handles that it
// holds, or in the kernel that made it and outlives the step. Whoever holds a handle to the group
// keeps it alive.
// Locks: a group is immutable, so many ops may use it at once; they meet at the variables' locks.
// Buffers are looked up under those locks at every step, since an assignment may replace one.

#ifndef TF_MAVG_CC_KERNELS_VARIABLE_PAIR_GROUP_H_
#define TF_MAVG_CC_KERNELS_VARIABLE_PAIR_GROUP_H_

#include <string>
#include <utility>
#include <vector>

#include "cc/kernels/pair_operations.h"
#include "cc/kernels/variable_pairs.h"
#include "tensorflow/core/framework/resource_base.h"
#include "tensorflow/core/framework/tensor.h"

namespace tf_mavg {

class VariablePairGroup : public tensorflow::ResourceBase {
 public:
  // `handles`, if any, hold the names that the pairs borrow.
  VariablePairGroup(const UpdateSides& sides, VariablePairs pairs,
                    std::vector<tensorflow::Tensor> handles)
      : sides_(sides), pairs_(std::move(pairs)), handles_(std::move(handles)) {}

  std::string DebugString() const override;

  const UpdateSides& sides() const { return sides_; }
  const VariablePairs& pairs() const { return pairs_; }

 private:
  const UpdateSides sides_;
  const VariablePairs pairs_;
  const std::vector<tensorflow::Tensor> handles_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_VARIABLE_PAIR_GROUP_H_
