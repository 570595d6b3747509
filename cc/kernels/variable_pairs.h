// The pairs of variables that an op works on: found, checked and locked.
//
// Ownership: a VariablePairs holds a counted reference to each resource variable. The names, and
// the reference variables, are borrowed: the names from whatever it was bound to (handles or a list
// of names), reference variables from the inputs of the running op.
// Locks: every variable of the pairs has a mutex of its own. LockedPairs takes all of them in order
// of address, each once, and holds them until it is destroyed; so ops that share variables cannot
// deadlock, neither with each other nor with TensorFlow's own, which order theirs the same way. A
// VariablePairs itself is immutable once bound: many ops may lock it at once.

#ifndef TF_MAVG_CC_KERNELS_VARIABLE_PAIRS_H_
#define TF_MAVG_CC_KERNELS_VARIABLE_PAIRS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_var.h"

namespace tf_mavg {

// What one side of the pairs is called in messages, and the dtype that it must have.
struct Side {
  const char* role;  // "average", "variable", "first variable", ...
  tensorflow::DataType dtype;
};

// A resource variable, or a reference variable reached through an input of the running op.
class PairedVariable {
 public:
  PairedVariable(tensorflow::core::RefCountPtr<tensorflow::Var> resource, absl::string_view name);
  PairedVariable(int ref_input, tensorflow::mutex* mu, absl::string_view name);

  tensorflow::Var* resource() const { return resource_.get(); }  // Null for a reference variable.
  int ref_input() const { return ref_input_; }
  tensorflow::mutex* mu() const { return mu_; }
  absl::string_view name() const { return name_; }

 private:
  tensorflow::core::RefCountPtr<tensorflow::Var> resource_;
  int ref_input_ = -1;
  tensorflow::mutex* mu_;
  absl::string_view name_;
};

class VariablePairs {
 public:
  // Binds inputs 0..N-1 and N..2N-1 of the op, reference or resource variables as their dtype
  // says. Fails if a resource is missing or a variable occurs twice.
  static absl::Status Bind(tensorflow::OpKernelContext* ctx, const Side& first, const Side& second,
                           VariablePairs* pairs);

  // Binds the resource variables of these names, in the default container of the op's device.
  static absl::Status BindNamed(tensorflow::OpKernelContext* ctx, const Side& first,
                                const std::vector<std::string>& first_names, const Side& second,
                                const std::vector<std::string>& second_names, VariablePairs* pairs);

  int size() const { return static_cast<int>(first_.size()); }
  const PairedVariable& first(int i) const { return first_[i]; }
  const PairedVariable& second(int i) const { return second_[i]; }

 private:
  friend class LockedPairs;

  struct Lock {
    tensorflow::mutex* mu;
    int position;
    bool is_first;
  };

  absl::Status OrderLocks(absl::string_view op, const Side& first, const Side& second);

  std::vector<PairedVariable> first_;
  std::vector<PairedVariable> second_;
  std::vector<Lock> locks_;  // In order of address, each mutex once.
};

// A variable while its lock is held. It lives no longer than the LockedPairs that made it.
class LockedVariable {
 public:
  LockedVariable(tensorflow::OpKernelContext* ctx, const PairedVariable* variable,
                 tensorflow::Tensor* tensor)
      : ctx_(ctx), variable_(variable), tensor_(tensor) {}

  absl::string_view name() const { return variable_->name(); }
  const tensorflow::Tensor& tensor() const { return *tensor_; }
  bool initialized() const;
  // Whether readers copy, so that writers never need to; see resource_var.h of TensorFlow.
  bool copy_on_read() const;
  // Whether anyone but the variable holds its buffer. Needs the exclusive lock.
  bool HasReaders() const;
  // Gives the variable another buffer. Needs the exclusive lock.
  void Replace(const tensorflow::Tensor& tensor) const;

 private:
  tensorflow::OpKernelContext* ctx_;
  const PairedVariable* variable_;
  tensorflow::Tensor* tensor_;
};

// The pairs while their locks are held: the first side exclusively, the second as asked.
class LockedPairs {
 public:
  enum class Second { kRead, kWrite };

  LockedPairs(tensorflow::OpKernelContext* ctx, const VariablePairs& pairs, Second second);
  ~LockedPairs();
  LockedPairs(const LockedPairs&) = delete;
  LockedPairs& operator=(const LockedPairs&) = delete;

  // Every variable is initialised and of its side's dtype, and the shapes of each pair agree.
  absl::Status Validate(const Side& first, const Side& second);

  int size() const { return pairs_.size(); }
  LockedVariable first(int i) { return Locked(pairs_.first(i)); }
  LockedVariable second(int i) { return Locked(pairs_.second(i)); }
  tensorflow::OpKernelContext* ctx() const { return ctx_; }

 private:
  LockedVariable Locked(const PairedVariable& variable);

  tensorflow::OpKernelContext* const ctx_;
  const VariablePairs& pairs_;
  const Second second_;
  // By input: each shares its reference variable's buffer. Empty if the variables are resources.
  std::vector<tensorflow::Tensor> ref_tensors_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_VARIABLE_PAIRS_H_
