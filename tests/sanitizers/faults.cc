// Faults on purpose, each in code of ours that a sanitizer has compiled: it must report them. The
// one that the command line names:
//   beyond    a kernel works on an element too many
//   overflow  a plan counts more elements than its numbers hold
//   race      two threads update the same average
//   early     the host writes what a call of a stream writes, and does not wait; needs a driver

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "cc/core/chunk_plan.h"
#include "cc/core/cpu/cpu_kernels.h"
#include "cc/python/arrays/on_threads.h"
#include "cuda/launch/launcher.h"

namespace tf_mavg {
namespace {

constexpr int64_t kElements = 100;

void Update(std::vector<float>* average, const std::vector<float>& variable, int64_t count) {
  KernelsOf(CpuLevel::kBaseline)
      .moving_average[static_cast<int>(Dtypes::float32)](average->data(), variable.data(), count,
                                                         0.5);
}

void Beyond() {
  std::vector<float> average(kElements);
  Update(&average, std::vector<float>(kElements), kElements + 1);
}

void Overflow() {
  const int64_t most = std::numeric_limits<int64_t>::max();
  const ChunkPlan plan({most, most}, most);
  std::printf("%lld elements\n", static_cast<long long>(plan.total_elements()));
}

void Race() {
  std::vector<float> average(kElements);
  const std::vector<float> variable(kElements);
  OnThreads(2, [&](int) { Update(&average, variable, kElements); });
}

void Early() {
  const Driver* driver;
  CuContext context;
  CuStream stream;
  if (!Driver::Get(&driver).ok() || driver->primary_context_retain(&context, 0) != 0 ||
      driver->context_set_current(context) != 0 || driver->stream_create(&stream, 1) != 0) {
    std::printf("There is no driver.\n");
    return;
  }
  int calls = 0;
  std::atomic<bool> called(false);
  const auto call = [&] {
    ++calls;
    called.store(true, std::memory_order_relaxed);
  };
  if (!EnqueueCall(call, stream).ok()) return;
  // The call has been, and yet nothing has put it before what follows. Had it still to come, it
  // would at times be after that, by the lock of the stream, which synchronizing takes.
  while (!called.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ++calls;
  driver->stream_synchronize(stream);
  std::printf("%d calls\n", calls);
}

}  // namespace
}  // namespace tf_mavg

int main(int, char** arguments) {
  using namespace tf_mavg;
  const std::string fault = arguments[1];
  if (fault == "beyond") Beyond();
  if (fault == "overflow") Overflow();
  if (fault == "race") Race();
  if (fault == "early") Early();
}
