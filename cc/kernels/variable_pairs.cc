// Finds, checks and locks pairs of variables. See variable_pairs.h for the contract.

#include "cc/kernels/variable_pairs.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace tf_mavg {
namespace {

using ::tensorflow::DataTypeString;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::Var;

// "average 2 ('dense/kernel/ExponentialMovingAverage')"
std::string Describe(const Side& side, int position, absl::string_view name) {
  return absl::StrCat(side.role, " ", position, " ('", name, "')");
}

absl::Status Uninitialized(absl::string_view op, const std::string& variable) {
  return absl::FailedPreconditionError(
      absl::StrCat(op, ": ", variable,
                   " must be initialized. Received: an uninitialized or deleted "
                   "variable."));
}

// Appends the variables of inputs [begin, end) of the op.
absl::Status BindSide(OpKernelContext* ctx, const Side& side, int begin, int end,
                      std::vector<PairedVariable>* variables) {
  variables->reserve(end - begin);
  for (int input = begin; input < end; ++input) {
    if (ctx->input_is_ref(input)) {
      variables->emplace_back(input, ctx->input_ref_mutex(input),
                              ctx->op_kernel().requested_input(input));
      continue;
    }
    const tensorflow::ResourceHandle& handle = tensorflow::HandleFromInput(ctx, input);
    tensorflow::core::RefCountPtr<Var> resource;
    if (!tensorflow::LookupResource(ctx, handle, &resource).ok()) {
      return Uninitialized(ctx->op_kernel().type_string_view(),
                           Describe(side, input - begin, handle.name()));
    }
    variables->emplace_back(std::move(resource), handle.name());
  }
  return absl::OkStatus();
}

absl::Status ValidateSide(absl::string_view op, const Side& side, int position,
                          const PairedVariable& variable) {
  if (!variable.initialized()) {
    return Uninitialized(op, Describe(side, position, variable.name()));
  }
  if (variable.tensor().dtype() != side.dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": ", Describe(side, position, variable.name()), " must be ",
                     DataTypeString(side.dtype),
                     ". Received: ", DataTypeString(variable.tensor().dtype()), "."));
  }
  return absl::OkStatus();
}

}  // namespace

PairedVariable::PairedVariable(tensorflow::core::RefCountPtr<Var> resource, absl::string_view name)
    : resource_(std::move(resource)), mu_(resource_->mu()), name_(name) {}

PairedVariable::PairedVariable(int ref_input, tensorflow::mutex* mu, absl::string_view name)
    : ref_input_(ref_input), mu_(mu), name_(name) {}

void PairedVariable::Load(OpKernelContext* ctx) {
  if (resource_ == nullptr) ref_tensor_ = ctx->mutable_input(ref_input_, /*lock_held=*/true);
}

const Tensor& PairedVariable::tensor() const {
  return resource_ == nullptr ? ref_tensor_ : *resource_->tensor();
}

bool PairedVariable::initialized() const {
  return (resource_ == nullptr || resource_->is_initialized) && tensor().IsInitialized();
}

bool PairedVariable::copy_on_read() const {
  return resource_ != nullptr && resource_->copy_on_read_mode.load();
}

bool PairedVariable::HasReaders() const {
  if (tensor().NumElements() == 0) return false;  // Nothing that a reader could see change.
  // A loaded reference variable's buffer is held by the variable and by ref_tensor_.
  return resource_ == nullptr ? ref_tensor_.RefCount() != 2 : !resource_->tensor()->RefCountIsOne();
}

void PairedVariable::Replace(OpKernelContext* ctx, const Tensor& tensor) {
  if (resource_ == nullptr) {
    ref_tensor_ = tensor;
    ctx->replace_ref_input(ref_input_, tensor, /*lock_held=*/true);
  } else {
    *resource_->tensor() = tensor;
  }
}

absl::Status VariablePairs::Bind(OpKernelContext* ctx, const Side& first, const Side& second,
                                 VariablePairs* pairs) {
  int count;
  TF_RETURN_IF_ERROR(tensorflow::GetNodeAttr(ctx->op_kernel().def(), "N", &count));
  TF_RETURN_IF_ERROR(BindSide(ctx, first, 0, count, &pairs->first_));
  TF_RETURN_IF_ERROR(BindSide(ctx, second, count, 2 * count, &pairs->second_));
  return pairs->OrderLocks(ctx->op_kernel().type_string_view(), first, second);
}

absl::Status VariablePairs::OrderLocks(absl::string_view op, const Side& first,
                                       const Side& second) {
  locks_.reserve(2 * first_.size());
  for (int i = 0; i < size(); ++i) {
    locks_.push_back({first_[i].mu(), i, true});
    locks_.push_back({second_[i].mu(), i, false});
  }
  std::sort(locks_.begin(), locks_.end(),
            [](const Lock& a, const Lock& b) { return std::less<>()(a.mu, b.mu); });
  const auto twice = std::adjacent_find(locks_.begin(), locks_.end(),
                                        [](const Lock& a, const Lock& b) { return a.mu == b.mu; });
  if (twice == locks_.end()) return absl::OkStatus();
  const auto describe = [&](const Lock& lock) {
    return Describe(lock.is_first ? first : second, lock.position,
                    (lock.is_first ? first_ : second_)[lock.position].name());
  };
  return absl::InvalidArgumentError(absl::StrCat(
      op, ": the variables of all pairs must be distinct. Received: the same variable as ",
      describe(twice[0]), " and as ", describe(twice[1]), "."));
}

LockedPairs::LockedPairs(OpKernelContext* ctx, VariablePairs* pairs, Second second)
    : ctx_(ctx), pairs_(pairs), second_(second) {
  for (const VariablePairs::Lock& lock : pairs_->locks_) {
    if (lock.is_first || second_ == Second::kWrite) {
      lock.mu->lock();
    } else {
      lock.mu->lock_shared();
    }
  }
  for (PairedVariable& variable : pairs_->first_) variable.Load(ctx);
  for (PairedVariable& variable : pairs_->second_) variable.Load(ctx);
}

LockedPairs::~LockedPairs() {
  for (auto lock = pairs_->locks_.rbegin(); lock != pairs_->locks_.rend(); ++lock) {
    if (lock->is_first || second_ == Second::kWrite) {
      lock->mu->unlock();
    } else {
      lock->mu->unlock_shared();
    }
  }
}

absl::Status LockedPairs::Validate(const Side& first_side, const Side& second_side) const {
  const absl::string_view op = ctx_->op_kernel().type_string_view();
  for (int i = 0; i < size(); ++i) {
    TF_RETURN_IF_ERROR(ValidateSide(op, first_side, i, first(i)));
    TF_RETURN_IF_ERROR(ValidateSide(op, second_side, i, second(i)));
    const auto& expected = second(i).tensor().shape();
    const auto& received = first(i).tensor().shape();
    if (received != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat(op, ": ", Describe(first_side, i, first(i).name()),
                       " must have the shape of ", Describe(second_side, i, second(i).name()), ", ",
                       expected.DebugString(), ". Received: ", received.DebugString(), "."));
    }
  }
  return absl::OkStatus();
}

}  // namespace tf_mavg
