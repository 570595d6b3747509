// A pass over lists on the CPU: the plan's chunks, shared out over TensorFlow's intra-op threads.
//
// The caller holds the locks, and no one else holds a buffer that is written.

#ifndef TF_MAVG_CC_KERNELS_CPU_THREADS_H_
#define TF_MAVG_CC_KERNELS_CPU_THREADS_H_

#include <algorithm>
#include <cstdint>

#include "cc/core/chunk_plan.h"
#include "cc/core/lists.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tf_mavg {

// Runs a pass of cc/core/cpu_pass.h and waits for it.
template <typename Pass>
void RunOnThreads(tensorflow::OpKernelContext* ctx, const Lists& lists, const Pass& pass) {
  // tensorflow::Shard wants the cost of a unit of work in cycles, and starts a thread for no less
  // than 10,000. A core moves some 4 bytes a cycle.
  constexpr double kBytesACycle = 4;
  const ChunkPlan plan(lists.elements(), kCpuChunkElements);
  if (plan.chunks() == 0) return;
  const double elements_a_chunk = static_cast<double>(plan.total_elements()) / plan.chunks();
  const auto cycles_a_chunk = std::max<int64_t>(
      1, static_cast<int64_t>(elements_a_chunk * pass.bytes_an_element() / kBytesACycle));
  const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
  tensorflow::Shard(
      threads.num_threads, threads.workers, plan.chunks(), cycles_a_chunk,
      [&plan, &pass](int64_t begin, int64_t end) { plan.ForEachSpan(begin, end, pass); });
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_CPU_THREADS_H_
