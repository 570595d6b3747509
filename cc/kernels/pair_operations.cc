// Update and swap of pairs of variables. See pair_operations.h for the contract.

#include "cc/kernels/pair_operations.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/pair_functors.h"
#include "tensorflow/core/framework/types.h"

namespace tf_mavg {
namespace {

using ::tensorflow::DataType;
using ::tensorflow::DataTypeString;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

struct PairDtypes {
  DataType variable;
  DataType average;
};

constexpr PairDtypes kPairDtypes[kPairTypes] = {
    // By PairType.
    {tensorflow::DT_HALF, tensorflow::DT_HALF},
    {tensorflow::DT_BFLOAT16, tensorflow::DT_BFLOAT16},
    {tensorflow::DT_FLOAT, tensorflow::DT_FLOAT},
    {tensorflow::DT_DOUBLE, tensorflow::DT_DOUBLE},
    {tensorflow::DT_HALF, tensorflow::DT_FLOAT},
    {tensorflow::DT_BFLOAT16, tensorflow::DT_FLOAT},
};

absl::Status FindPairType(absl::string_view op, const UpdateSides& sides, PairType* type) {
  for (int i = 0; i < kPairTypes; ++i) {
    if (kPairDtypes[i].variable == sides.variables.dtype &&
        kPairDtypes[i].average == sides.averages.dtype) {
      *type = static_cast<PairType>(i);
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      op,
      ": an average must have the dtype of its variable, or be float for a variable of half or ",
      "bfloat16. Received: an average of ", DataTypeString(sides.averages.dtype),
      " for a variable of ", DataTypeString(sides.variables.dtype), "."));
}

// A variable that is written in place and whose buffer somebody else holds must be copied first,
// unless its readers copy.
bool WriteNeedsCopy(const LockedVariable& written) {
  return !written.copy_on_read() && written.HasReaders();
}

// A variable whose readers copy is written without a look at who holds its buffer, so the one that
// it receives in an exchange must be its own.
bool ExchangeNeedsCopy(const LockedVariable& giver, const LockedVariable& receiver) {
  return receiver.copy_on_read() && giver.HasReaders();
}

// Copies of variables' buffers, made one after the other and put in place all together. Values do
// not change, and a failed allocation changes nothing.
template <typename Device>
class BufferCopies {
 public:
  explicit BufferCopies(OpKernelContext* ctx) : ctx_(ctx) {}

  absl::Status Make(const LockedVariable& variable) {
    // As TensorFlow allocates variables: a network card or a GPU may read them.
    tensorflow::AllocatorAttributes attributes;
    attributes.set_gpu_compatible(true);
    attributes.set_nic_compatible(true);
    const Tensor& from = variable.tensor();
    Tensor to;
    TF_RETURN_IF_ERROR(ctx_->allocate_temp(from.dtype(), from.shape(), &to, attributes));
    TF_RETURN_IF_ERROR(CopyTensor<Device>()(ctx_, from, &to));
    copies_.emplace_back(variable, std::move(to));
    return absl::OkStatus();
  }

  void PutInPlace() {
    for (auto& [variable, copy] : copies_) variable.Replace(copy);
  }

 private:
  OpKernelContext* const ctx_;
  std::vector<std::pair<LockedVariable, Tensor>> copies_;
};

std::vector<PairBuffers> BuffersOf(LockedPairs& pairs) {
  std::vector<PairBuffers> buffers(pairs.size());
  for (int i = 0; i < pairs.size(); ++i) {
    const Tensor& first = pairs.first(i).tensor();
    buffers[i] = {first.data(), pairs.second(i).tensor().data(), first.NumElements()};
  }
  return buffers;
}

template <typename Device>
absl::Status ExchangeBuffers(LockedPairs& pairs) {
  BufferCopies<Device> copies(pairs.ctx());
  for (int i = 0; i < pairs.size(); ++i) {
    const LockedVariable first = pairs.first(i);
    const LockedVariable second = pairs.second(i);
    if (ExchangeNeedsCopy(first, second)) TF_RETURN_IF_ERROR(copies.Make(first));
    if (ExchangeNeedsCopy(second, first)) TF_RETURN_IF_ERROR(copies.Make(second));
  }
  copies.PutInPlace();
  for (int i = 0; i < pairs.size(); ++i) {
    const Tensor held = pairs.first(i).tensor();
    pairs.first(i).Replace(pairs.second(i).tensor());
    pairs.second(i).Replace(held);
  }
  return absl::OkStatus();
}

template <typename Device>
absl::Status ExchangeContents(LockedPairs& pairs, DataType dtype) {
  BufferCopies<Device> copies(pairs.ctx());
  for (int i = 0; i < pairs.size(); ++i) {
    if (WriteNeedsCopy(pairs.first(i))) TF_RETURN_IF_ERROR(copies.Make(pairs.first(i)));
    if (WriteNeedsCopy(pairs.second(i))) TF_RETURN_IF_ERROR(copies.Make(pairs.second(i)));
  }
  copies.PutInPlace();
  return SwapContents<Device>()(pairs.ctx(), tensorflow::DataTypeSize(dtype), BuffersOf(pairs));
}

}  // namespace

absl::Status UpdateSides::FromAttributes(tensorflow::OpKernelConstruction* ctx,
                                         UpdateSides* sides) {
  TF_RETURN_IF_ERROR(ctx->GetAttr("T", &sides->variables.dtype));
  TF_RETURN_IF_ERROR(ctx->GetAttr("Tavg", &sides->averages.dtype));
  return FindPairType(ctx->def().op(), *sides, &sides->type);
}

absl::Status SwapModeFromAttribute(tensorflow::OpKernelConstruction* ctx, SwapMode* mode) {
  bool copy;
  TF_RETURN_IF_ERROR(ctx->GetAttr("copy", &copy));
  *mode = copy ? SwapMode::kCopy : SwapMode::kExchange;
  return absl::OkStatus();
}

template <typename Device>
absl::Status UpdatePairs(OpKernelContext* ctx, const UpdateSides& sides, const VariablePairs& pairs,
                         const Tensor& decay) {
  // Shape functions do not see what eager execution and placeholders bring.
  if (decay.dims() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string_view(),
                                                   ": decay must be a scalar. Received: shape ",
                                                   decay.shape().DebugString(), "."));
  }
  LockedPairs locked(ctx, pairs, LockedPairs::Second::kRead);
  TF_RETURN_IF_ERROR(locked.Validate(sides.averages, sides.variables));
  BufferCopies<Device> copies(ctx);
  for (int i = 0; i < locked.size(); ++i) {
    if (WriteNeedsCopy(locked.first(i))) TF_RETURN_IF_ERROR(copies.Make(locked.first(i)));
  }
  copies.PutInPlace();
  return UpdateAverages<Device>()(ctx, sides.type, BuffersOf(locked), decay);
}

template <typename Device>
absl::Status SwapPairs(OpKernelContext* ctx, const Side& first, const Side& second,
                       const VariablePairs& pairs, SwapMode mode) {
  if (first.dtype != second.dtype) {
    return absl::InvalidArgumentError(absl::StrCat(
        ctx->op_kernel().type_string_view(), ": the variables of a pair must have one dtype to ",
        "change places. Received: ", first.role, "s of ", DataTypeString(first.dtype), " and ",
        second.role, "s of ", DataTypeString(second.dtype), "."));
  }
  LockedPairs locked(ctx, pairs, LockedPairs::Second::kWrite);
  TF_RETURN_IF_ERROR(locked.Validate(first, second));
  return mode == SwapMode::kExchange ? ExchangeBuffers<Device>(locked)
                                     : ExchangeContents<Device>(locked, first.dtype);
}

template absl::Status UpdatePairs<CpuDevice>(OpKernelContext*, const UpdateSides&,
                                             const VariablePairs&, const Tensor&);
template absl::Status SwapPairs<CpuDevice>(OpKernelContext*, const Side&, const Side&,
                                           const VariablePairs&, SwapMode);
#if TF_MAVG_GPU
template absl::Status UpdatePairs<GpuDevice>(OpKernelContext*, const UpdateSides&,
                                             const VariablePairs&, const Tensor&);
template absl::Status SwapPairs<GpuDevice>(OpKernelContext*, const Side&, const Side&,
                                           const VariablePairs&, SwapMode);
#endif

}  // namespace tf_mavg
