// Work on the CPU, shared out over TensorFlow's intra-op threads and the one that calls.
//
// The caller holds the locks, and no one else holds a buffer that is written.

#ifndef TF_MAVG_CC_KERNELS_DEVICES_CPU_THREADS_H_
#define TF_MAVG_CC_KERNELS_DEVICES_CPU_THREADS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cc/core/chunk_plan.h"
#include "cc/core/lists.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tf_mavg {

// Calls work(begin, end) for blocks of [0, units), each once, and waits for all. A thread takes a
// block when it is done with the one before: where a core is slower, or another thread wants it for
// a while, the others take more. A block is some 10 to 50 microseconds of work, several for each
// thread where there is as much to do.
template <typename Work>
void ShareOut(tensorflow::OpKernelContext* ctx, int64_t units, double cycles_a_unit,
              const Work& work) {
  if (units == 0) return;
  constexpr double kFewestCycles = 40'000;
  constexpr double kMostCycles = 200'000;
  const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
  const double cycles = cycles_a_unit * static_cast<double>(units);
  const double cycles_a_block =
      std::clamp(cycles / (4 * threads.num_threads), kFewestCycles, kMostCycles);
  const int64_t units_a_block =
      std::max<int64_t>(1, static_cast<int64_t>(cycles_a_block / cycles_a_unit));
  const int64_t takers =
      std::min<int64_t>(threads.num_threads, (units + units_a_block - 1) / units_a_block);
  std::atomic<int64_t> next(0);
  const auto take = [&](int64_t, int64_t) {
    int64_t begin;
    while ((begin = next.fetch_add(units_a_block, std::memory_order_relaxed)) < units) {
      work(begin, std::min(begin + units_a_block, units));
    }
  };
  // Shard gives a thread one taker or, where all is soon done, several; the caller has one, too.
  tensorflow::Shard(threads.num_threads, threads.workers, takers,
                    static_cast<int64_t>(cycles / takers) + 1, take);
}

// Runs a pass of cc/core/cpu/cpu_pass.h over lists.
template <typename Pass>
void RunOnThreads(tensorflow::OpKernelContext* ctx, const Lists& lists, const Pass& pass) {
  constexpr double kBytesACycle = 4;  // About what a core moves.
  const ChunkPlan plan(lists.elements(), kCpuChunkElements);
  const double elements_a_chunk =
      static_cast<double>(plan.total_elements()) / std::max<int64_t>(plan.chunks(), 1);
  ShareOut(ctx, plan.chunks(), elements_a_chunk * pass.bytes_an_element() / kBytesACycle,
           [&plan, &pass](int64_t begin, int64_t end) { plan.ForEachSpan(begin, end, pass); });
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_DEVICES_CPU_THREADS_H_
