// The variables that an op works on, in lists side by side: found, checked and locked.
//
// An operation declares its sides: what messages call a side, its dtype, and whether the op reads
// or writes it. Variables at one position belong together.
//
// Ownership: a VariableLists holds a counted reference to each resource variable. The names, and
// the reference variables, are borrowed: the names from whatever it was bound to (handles or a list
// of names), reference variables from the inputs of the running op. Locks: every variable has a
// mutex of its own. LockedLists takes those of the sides that it is to access, in order of address,
// each once, and holds them until it is destroyed; so ops that share variables cannot deadlock,
// neither with each other nor with TensorFlow's own, which order theirs the same way. A
// VariableLists is immutable once bound: many ops may lock it at once. Memory: after a training
// step, none of this is in a cache. Each loop here asks ahead for what it will touch, so that a
// thousand variables wait for memory together and not one after the other.

#ifndef TF_MAVG_CC_KERNELS_VARIABLES_VARIABLE_LISTS_H_
#define TF_MAVG_CC_KERNELS_VARIABLES_VARIABLE_LISTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_var.h"

namespace tf_mavg {

// What one side is called in messages, and the dtype that its variables must have.
struct Side {
  const char* role;  // "average", "variable", "first variable", ...
  tensorflow::DataType dtype;
  int list = -1;           // The number of the list, where several sides have one role.
  bool any_shape = false;  // Whether the op itself checks its shapes.
};

// What an op does to a side. A side that it leaves alone is neither locked nor checked.
enum class Access { kNone, kRead, kWrite };

class VariableLists {
 public:
  VariableLists() = default;

  // Binds inputs side * size + i of the op, reference or resource variables as their dtype says.
  // Fails if a resource is missing or a variable occurs twice.
  static absl::Status FromInputs(tensorflow::OpKernelContext* ctx, std::vector<Side> sides,
                                 int size, VariableLists* lists);

  // Binds the resource variables of these names, in the same order, in the default container of the
  // op's device.
  static absl::Status FromNames(tensorflow::OpKernelContext* ctx, std::vector<Side> sides,
                                const std::vector<std::string>& names, VariableLists* lists);

  int depth() const { return static_cast<int>(sides_.size()); }
  int size() const { return size_; }
  const std::vector<Side>& sides() const { return sides_; }

  // "average 2 ('dense/kernel/ExponentialMovingAverage')"
  std::string Describe(int side, int position) const;

 private:
  friend class LockedLists;

  struct Lock {
    tensorflow::mutex* mu;
    tensorflow::Var* resource;  // Null for a reference variable.
    int side;
    int position;
  };

  VariableLists(std::vector<Side> sides, int size);
  int Index(int side, int position) const { return side * size_ + position; }
  // Sorts the locks, one of each variable; fails if two are the same.
  absl::Status OrderLocks(absl::string_view op, std::vector<Lock> locks);

  std::vector<Side> sides_;
  int size_ = 0;
  // By Index; no resources if the variables are references.
  std::vector<tensorflow::core::RefCountPtr<tensorflow::Var>> resources_;
  std::vector<absl::string_view> names_;
  std::vector<Lock> locks_;  // In order of address, each mutex once.
};

// A variable while its lock is held. It lives no longer than the LockedLists that made it.
class LockedVariable {
 public:
  // `resource` is null for a reference variable, which is input `input` of the op.
  LockedVariable(tensorflow::OpKernelContext* ctx, tensorflow::Var* resource, int input,
                 tensorflow::Tensor* tensor)
      : ctx_(ctx), resource_(resource), input_(input), tensor_(tensor) {}

  const tensorflow::Tensor& tensor() const { return *tensor_; }
  bool initialized() const;
  // Whether readers copy, so that writers never need to; see resource_var.h of TensorFlow.
  bool copy_on_read() const;
  // Whether anyone but the variable holds its buffer. Needs the exclusive lock.
  bool HasReaders() const;
  // Whether its buffer must be copied before it is written: somebody else holds it, and does not
  // expect it to change. Needs the exclusive lock.
  bool WriteNeedsCopy() const;
  // Has readers copy from now on, so that a writer of a few elements never copies all. Needs the
  // exclusive lock, and a resource whose buffer nobody else holds.
  void LetReadersCopy() const;
  // Gives the variable another buffer. Needs the exclusive lock.
  void Replace(const tensorflow::Tensor& tensor) const;

 private:
  tensorflow::OpKernelContext* ctx_;
  tensorflow::Var* resource_;
  int input_;
  tensorflow::Tensor* tensor_;
};

// The variables while their locks are held: shared for a side that is read, exclusive for one that
// is written.
class LockedLists {
 public:
  // `accesses`: one a side.
  LockedLists(tensorflow::OpKernelContext* ctx, const VariableLists& lists,
              std::vector<Access> accesses);
  ~LockedLists();
  LockedLists(const LockedLists&) = delete;
  LockedLists& operator=(const LockedLists&) = delete;

  // Checks position after position that every variable is initialised, of its side's dtype and,
  // unless its side may be of any, of the shape of the last side's; calls visit(position) ->
  // absl::Status for what is checked. Stops at the first error: visit must not change a variable.
  template <typename Visit>
  absl::Status ForEachChecked(const Visit& visit) {
    for (int i = 0; i < lists_.size(); ++i) {
      PrefetchBuffers(i + kPositionsAhead);
      TF_RETURN_IF_ERROR(Check(i));
      TF_RETURN_IF_ERROR(visit(i));
    }
    return absl::OkStatus();
  }

  int size() const { return lists_.size(); }
  LockedVariable variable(int side, int position);
  tensorflow::OpKernelContext* ctx() const { return ctx_; }

 private:
  // Positions that are checked while memory brings the tensors' records of their buffers.
  static constexpr int kPositionsAhead = 8;

  void PrefetchBuffers(int position);
  absl::Status Check(int position);
  absl::Status CheckVariable(int side, int position, const LockedVariable& variable);

  tensorflow::OpKernelContext* const ctx_;
  const VariableLists& lists_;
  const std::vector<Access> accesses_;
  // By input: each shares its reference variable's buffer. Empty if the variables are resources.
  std::vector<tensorflow::Tensor> ref_tensors_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_VARIABLES_VARIABLE_LISTS_H_
