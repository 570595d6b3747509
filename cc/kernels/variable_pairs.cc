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
using ::tensorflow::core::RefCountPtr;

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
    RefCountPtr<Var> resource;
    if (!tensorflow::LookupResource(ctx, handle, &resource).ok()) {
      return Uninitialized(ctx->op_kernel().type_string_view(),
                           Describe(side, input - begin, handle.name()));
    }
    variables->emplace_back(std::move(resource), handle.name());
  }
  return absl::OkStatus();
}

// Appends the resource variables of these names.
absl::Status BindNamedSide(OpKernelContext* ctx, const Side& side,
                           const std::vector<std::string>& names,
                           std::vector<PairedVariable>* variables) {
  const tensorflow::ResourceMgr& manager = *ctx->resource_manager();
  variables->reserve(names.size());
  for (const std::string& name : names) {
    Var* resource;
    if (!manager.Lookup(manager.default_container(), name, &resource).ok()) {
      return Uninitialized(ctx->op_kernel().type_string_view(),
                           Describe(side, static_cast<int>(variables->size()), name));
    }
    variables->emplace_back(RefCountPtr<Var>(resource), name);
  }
  return absl::OkStatus();
}

absl::Status ValidateSide(absl::string_view op, const Side& side, int position,
                          const LockedVariable& variable) {
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

PairedVariable::PairedVariable(RefCountPtr<Var> resource, absl::string_view name)
    : resource_(std::move(resource)), mu_(resource_->mu()), name_(name) {}

PairedVariable::PairedVariable(int ref_input, tensorflow::mutex* mu, absl::string_view name)
    : ref_input_(ref_input), mu_(mu), name_(name) {}

bool LockedVariable::initialized() const {
  const Var* resource = variable_->resource();
  return (resource == nullptr || resource->is_initialized) && tensor_->IsInitialized();
}

bool LockedVariable::copy_on_read() const {
  const Var* resource = variable_->resource();
  return resource != nullptr && resource->copy_on_read_mode.load();
}

bool LockedVariable::HasReaders() const {
  if (tensor_->NumElements() == 0) return false;  // Nothing that a reader could see change.
  // A reference variable's buffer is held by the variable and by LockedPairs.
  return variable_->resource() == nullptr ? tensor_->RefCount() != 2 : !tensor_->RefCountIsOne();
}

void LockedVariable::Replace(const Tensor& tensor) const {
  *tensor_ = tensor;
  if (variable_->resource() == nullptr) {
    ctx_->replace_ref_input(variable_->ref_input(), tensor, /*lock_held=*/true);
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

absl::Status VariablePairs::BindNamed(OpKernelContext* ctx, const Side& first,
                                      const std::vector<std::string>& first_names,
                                      const Side& second,
                                      const std::vector<std::string>& second_names,
                                      VariablePairs* pairs) {
  TF_RETURN_IF_ERROR(BindNamedSide(ctx, first, first_names, &pairs->first_));
  TF_RETURN_IF_ERROR(BindNamedSide(ctx, second, second_names, &pairs->second_));
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

LockedPairs::LockedPairs(OpKernelContext* ctx, const VariablePairs& pairs, Second second)
    : ctx_(ctx), pairs_(pairs), second_(second) {
  for (const VariablePairs::Lock& lock : pairs_.locks_) {
    if (lock.is_first || second_ == Second::kWrite) {
      lock.mu->lock();
    } else {
      lock.mu->lock_shared();
    }
  }
  if (pairs_.size() > 0 && pairs_.first(0).resource() == nullptr) {
    ref_tensors_.reserve(2 * pairs_.size());
    for (int input = 0; input < 2 * pairs_.size(); ++input) {
      ref_tensors_.push_back(ctx->mutable_input(input, /*lock_held=*/true));
    }
  }
}

LockedPairs::~LockedPairs() {
  for (auto lock = pairs_.locks_.rbegin(); lock != pairs_.locks_.rend(); ++lock) {
    if (lock->is_first || second_ == Second::kWrite) {
      lock->mu->unlock();
    } else {
      lock->mu->unlock_shared();
    }
  }
}

LockedVariable LockedPairs::Locked(const PairedVariable& variable) {
  return {ctx_, &variable,
          variable.resource() == nullptr ? &ref_tensors_[variable.ref_input()]
                                         : variable.resource()->tensor()};
}

absl::Status LockedPairs::Validate(const Side& first_side, const Side& second_side) {
  const absl::string_view op = ctx_->op_kernel().type_string_view();
  for (int i = 0; i < size(); ++i) {
    const LockedVariable first_variable = first(i);
    const LockedVariable second_variable = second(i);
    TF_RETURN_IF_ERROR(ValidateSide(op, first_side, i, first_variable));
    TF_RETURN_IF_ERROR(ValidateSide(op, second_side, i, second_variable));
    const auto& expected = second_variable.tensor().shape();
    const auto& received = first_variable.tensor().shape();
    if (received != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat(op, ": ", Describe(first_side, i, first_variable.name()),
                       " must have the shape of ", Describe(second_side, i, second_variable.name()),
                       ", ", expected.DebugString(), ". Received: ", received.DebugString(), "."));
    }
  }
  return absl::OkStatus();
}

}  // namespace tf_mavg
