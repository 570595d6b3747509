// The functors of pair_functors.h on the CPU: chunks of all pairs, shared out over TensorFlow's
// intra-op threads.

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/core/average_formula.h"
#include "cc/core/chunk_plan.h"
#include "cc/core/cpu_kernels.h"
#include "cc/kernels/pair_functors.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tf_mavg {
namespace {

using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

// For tensorflow::Shard, which wants the cost of a unit of work in cycles, and starts a thread for
// no less than 10,000. An element of an update moves 12 bytes, a core some 4 bytes a cycle.
constexpr double kBytesACycle = 4;

// Calls work(pair, offset, count) for every element of the pairs, from several threads at once.
// Both numbers count elements; bytes_an_element is what is moved for each.
template <typename Work>
void ForEachChunk(OpKernelContext* ctx, const std::vector<PairBuffers>& pairs,
                  int64_t chunk_elements, int64_t bytes_an_element, const Work& work) {
  std::vector<int64_t> elements(pairs.size());
  std::transform(pairs.begin(), pairs.end(), elements.begin(),
                 [](const PairBuffers& pair) { return pair.elements; });
  const ChunkPlan plan(std::move(elements), chunk_elements);
  if (plan.chunks() == 0) return;
  const double elements_a_chunk = static_cast<double>(plan.total_elements()) / plan.chunks();
  const auto cycles_a_chunk = std::max<int64_t>(
      1, static_cast<int64_t>(elements_a_chunk * bytes_an_element / kBytesACycle));
  const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
  tensorflow::Shard(
      threads.num_threads, threads.workers, plan.chunks(), cycles_a_chunk,
      [&plan, &work](int64_t begin, int64_t end) { plan.ForEachSpan(begin, end, work); });
}

void* Advanced(void* buffer, int64_t bytes) { return static_cast<char*>(buffer) + bytes; }

}  // namespace

template <>
absl::Status UpdateAverages<CpuDevice>::operator()(OpKernelContext* ctx, PairType type,
                                                   const std::vector<PairBuffers>& pairs,
                                                   const Tensor& decay_tensor) const {
  const float decay = decay_tensor.scalar<float>()();
  if (!(decay >= 0.0f && decay <= 1.0f)) {  // NaN is in no interval.
    return absl::InvalidArgumentError(absl::StrCat(
        ctx->op_kernel().type_string_view(), ": decay must be in [0, 1]. Received: ", decay, "."));
  }
  const UpdateFunction update = KernelsOf(ActiveCpuLevel()).update[static_cast<int>(type)];
  const PairTypeTraits& traits = TraitsOf(type);
  const float one_minus_decay = OneMinusDecay(decay);
  ForEachChunk(ctx, pairs, kCpuChunkElements, 2 * traits.average_bytes + traits.variable_bytes,
               [&](int pair, int64_t offset, int64_t count) {
                 update(Advanced(pairs[pair].first, offset * traits.average_bytes),
                        Advanced(pairs[pair].second, offset * traits.variable_bytes), count,
                        one_minus_decay);
               });
  return absl::OkStatus();
}

template <>
absl::Status SwapContents<CpuDevice>::operator()(OpKernelContext* ctx, int64_t element_bytes,
                                                 const std::vector<PairBuffers>& pairs) const {
  const SwapFunction swap = KernelsOf(ActiveCpuLevel()).swap;
  ForEachChunk(ctx, pairs, kCpuChunkElements, 4 * element_bytes,
               [&](int pair, int64_t offset, int64_t count) {
                 swap(Advanced(pairs[pair].first, offset * element_bytes),
                      Advanced(pairs[pair].second, offset * element_bytes), count * element_bytes);
               });
  return absl::OkStatus();
}

template <>
absl::Status CopyTensor<CpuDevice>::operator()(OpKernelContext*, const Tensor& from,
                                               Tensor* to) const {
  std::memcpy(to->data(), from.data(), from.TotalBytes());
  return absl::OkStatus();
}

}  // namespace tf_mavg
