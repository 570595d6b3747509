// Finds, checks and locks lists of variables. See variable_lists.h for the contract.

#include "cc/kernels/variables/variable_lists.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/core/portability.h"
#include "tensorflow/core/common_runtime/dma_helper.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace tf_mavg {
namespace {

using ::tensorflow::DataTypeString;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::Var;
using ::tensorflow::core::RefCountPtr;

// Locks that are taken while memory brings a variable.
constexpr size_t kLocksAhead = 10;

// Always inlined, as PrefetchStart of cc/core/cpu/cpu_pass.h.
TF_MAVG_INLINE void Prefetch(const Var* resource) {
  constexpr size_t kCacheLine = 64;
  for (size_t i = 0; i < sizeof(Var); i += kCacheLine) {
    __builtin_prefetch(reinterpret_cast<const char*>(resource) + i, 1);
  }
}

absl::Status Uninitialized(absl::string_view op, const std::string& variable) {
  return absl::FailedPreconditionError(absl::StrCat(
      op, ": ", variable, " must be initialized. Received: an uninitialized or deleted variable."));
}

}  // namespace

bool LockedVariable::initialized() const {
  return (resource_ == nullptr || resource_->is_initialized) && tensor_->IsInitialized();
}

bool LockedVariable::copy_on_read() const {
  return resource_ != nullptr && resource_->copy_on_read_mode.load();
}

bool LockedVariable::HasReaders() const {
  if (tensor_->NumElements() == 0) return false;  // Nothing that a reader could see change.
  // A reference variable's buffer is held by the variable and by LockedLists.
  return resource_ == nullptr ? tensor_->RefCount() != 2 : !tensor_->RefCountIsOne();
}

bool LockedVariable::WriteNeedsCopy() const { return !copy_on_read() && HasReaders(); }

void LockedVariable::LetReadersCopy() const { resource_->copy_on_read_mode.store(true); }

void LockedVariable::Replace(const Tensor& tensor) const {
  *tensor_ = tensor;
  if (resource_ == nullptr) ctx_->replace_ref_input(input_, tensor, /*lock_held=*/true);
}

VariableLists::VariableLists(std::vector<Side> sides, int size)
    : sides_(std::move(sides)), size_(size) {
  names_.reserve(sides_.size() * size_);
}

std::string VariableLists::Describe(int side, int position) const {
  const std::string of_list =
      sides_[side].list < 0 ? "" : absl::StrCat(" of list ", sides_[side].list);
  return absl::StrCat(sides_[side].role, " ", position, of_list, " ('",
                      names_[Index(side, position)], "')");
}

absl::Status VariableLists::FromInputs(OpKernelContext* ctx, std::vector<Side> sides, int size,
                                       VariableLists* lists) {
  VariableLists made(std::move(sides), size);
  const absl::string_view op = ctx->op_kernel().type_string_view();
  std::vector<Lock> locks;
  locks.reserve(made.sides_.size() * size);
  for (int side = 0; side < made.depth(); ++side) {
    for (int i = 0; i < size; ++i) {
      const int input = made.Index(side, i);
      if (ctx->input_is_ref(input)) {
        made.names_.push_back(ctx->op_kernel().requested_input(input));
        locks.push_back({ctx->input_ref_mutex(input), nullptr, side, i});
        continue;
      }
      const tensorflow::ResourceHandle& handle = tensorflow::HandleFromInput(ctx, input);
      made.names_.push_back(handle.name());
      RefCountPtr<Var> resource;
      if (!tensorflow::LookupResource(ctx, handle, &resource).ok()) {
        return Uninitialized(op, made.Describe(side, i));
      }
      locks.push_back({resource->mu(), resource.get(), side, i});
      made.resources_.push_back(std::move(resource));
    }
  }
  TF_RETURN_IF_ERROR(made.OrderLocks(op, std::move(locks)));
  *lists = std::move(made);
  return absl::OkStatus();
}

absl::Status VariableLists::FromNames(OpKernelContext* ctx, std::vector<Side> sides,
                                      const std::vector<std::string>& names, VariableLists* lists) {
  const int size = static_cast<int>(names.size() / sides.size());
  VariableLists made(std::move(sides), size);
  const absl::string_view op = ctx->op_kernel().type_string_view();
  const tensorflow::ResourceMgr& manager = *ctx->resource_manager();
  std::vector<Lock> locks;
  locks.reserve(names.size());
  for (int side = 0; side < made.depth(); ++side) {
    for (int i = 0; i < size; ++i) {
      const std::string& name = names[made.Index(side, i)];
      made.names_.push_back(name);
      Var* resource;
      if (!manager.Lookup(manager.default_container(), name, &resource).ok()) {
        return Uninitialized(op, made.Describe(side, i));
      }
      locks.push_back({resource->mu(), resource, side, i});
      made.resources_.emplace_back(resource);
    }
  }
  TF_RETURN_IF_ERROR(made.OrderLocks(op, std::move(locks)));
  *lists = std::move(made);
  return absl::OkStatus();
}

absl::Status VariableLists::OrderLocks(absl::string_view op, std::vector<Lock> locks) {
  locks_ = std::move(locks);
  std::sort(locks_.begin(), locks_.end(),
            [](const Lock& a, const Lock& b) { return std::less<>()(a.mu, b.mu); });
  const auto twice = std::adjacent_find(locks_.begin(), locks_.end(),
                                        [](const Lock& a, const Lock& b) { return a.mu == b.mu; });
  if (twice == locks_.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(op, ": all variables must be distinct. Received: the same variable as ",
                   Describe(twice[0].side, twice[0].position), " and as ",
                   Describe(twice[1].side, twice[1].position), "."));
}

LockedLists::LockedLists(OpKernelContext* ctx, const VariableLists& lists,
                         std::vector<Access> accesses)
    : ctx_(ctx), lists_(lists), accesses_(std::move(accesses)) {
  const std::vector<VariableLists::Lock>& locks = lists_.locks_;
  for (size_t i = 0; i < locks.size(); ++i) {
    if (i + kLocksAhead < locks.size() && locks[i + kLocksAhead].resource != nullptr) {
      Prefetch(locks[i + kLocksAhead].resource);
    }
    const Access access = accesses_[locks[i].side];
    if (access == Access::kNone) continue;
    if (access == Access::kWrite) {
      locks[i].mu->lock();
    } else {
      locks[i].mu->lock_shared();
    }
    // The record of its buffer may be looked up only now, and is looked at when all locks are held.
    if (locks[i].resource != nullptr) {
      __builtin_prefetch(tensorflow::DMAHelper::buffer(locks[i].resource->tensor()), 1);
    }
  }
  if (lists_.resources_.empty()) {
    const int inputs = lists_.depth() * lists_.size();
    ref_tensors_.reserve(inputs);
    for (int input = 0; input < inputs; ++input) {
      ref_tensors_.push_back(ctx->mutable_input(input, /*lock_held=*/true));
    }
  }
}

LockedLists::~LockedLists() {
  for (auto lock = lists_.locks_.rbegin(); lock != lists_.locks_.rend(); ++lock) {
    switch (accesses_[lock->side]) {
      case Access::kWrite:
        lock->mu->unlock();
        break;
      case Access::kRead:
        lock->mu->unlock_shared();
        break;
      case Access::kNone:
        break;
    }
  }
}

LockedVariable LockedLists::variable(int side, int position) {
  const int index = lists_.Index(side, position);
  if (lists_.resources_.empty()) return {ctx_, nullptr, index, &ref_tensors_[index]};
  Var* const resource = lists_.resources_[index].get();
  return {ctx_, resource, index, resource->tensor()};
}

absl::Status LockedLists::CheckVariable(int side, int position, const LockedVariable& variable) {
  const absl::string_view op = ctx_->op_kernel().type_string_view();
  if (!variable.initialized()) return Uninitialized(op, lists_.Describe(side, position));
  const tensorflow::DataType expected = lists_.sides()[side].dtype;
  const tensorflow::DataType received = variable.tensor().dtype();
  if (received == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": ", lists_.Describe(side, position),
                                                 " must be ", DataTypeString(expected),
                                                 ". Received: ", DataTypeString(received), "."));
}

void LockedLists::PrefetchBuffers(int position) {
  // Once more, after the prefetch while locking: that was in another order and much earlier.
  if (position >= size() || lists_.resources_.empty()) return;
  for (int side = 0; side < lists_.depth(); ++side) {
    if (accesses_[side] == Access::kNone) continue;
    __builtin_prefetch(tensorflow::DMAHelper::buffer(&variable(side, position).tensor()), 1);
  }
}

absl::Status LockedLists::Check(int position) {
  const int last = lists_.depth() - 1;
  const auto& expected = variable(last, position).tensor().shape();
  for (int side = 0; side <= last; ++side) {
    if (accesses_[side] == Access::kNone) continue;
    TF_RETURN_IF_ERROR(CheckVariable(side, position, variable(side, position)));
  }
  for (int side = 0; side < last; ++side) {
    if (accesses_[side] == Access::kNone || lists_.sides()[side].any_shape) continue;
    const auto& received = variable(side, position).tensor().shape();
    if (received == expected) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(ctx_->op_kernel().type_string_view(), ": ", lists_.Describe(side, position),
                     " must have the shape of ", lists_.Describe(last, position), ", ",
                     expected.DebugString(), ". Received: ", received.DebugString(), "."));
  }
  return absl::OkStatus();
}

}  // namespace tf_mavg
