// Every GPU kernel, launched by many threads at once on the driver that is found, each thread on a
// stream of its own; and the first use of a context, and its end, while all of them look it up.
// Prints what went wrong and ends with 1 then.

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "cc/core/dtypes.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cc/python/arrays/on_threads.h"
#include "cuda/all_finite/all_finite.h"
#include "cuda/driver/driver.h"
#include "cuda/launch/launcher.h"
#include "cuda/lazy_rows/lazy_rows.h"
#include "cuda/moving_average/moving_average.h"
#include "cuda/split_moving_average/split_moving_average.h"
#include "cuda/stochastic_average/stochastic_average.h"
#include "cuda/swap/swap.h"

namespace tf_mavg {
namespace {

constexpr int kThreads = 6;
constexpr int kContexts = 3;
constexpr int64_t kElements = 3000;

std::atomic<int> failures(0);

void Expect(const GpuStatus& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  ++failures;
}

void Expect(bool right, const char* what) {
  Expect(right ? GpuStatus() : GpuStatus(GpuStatus::Code::kFailed, what));
}

// Device memory, for as long as this lives.
class Memory {
 public:
  Memory(const Driver& driver, int64_t bytes, uint8_t byte) : driver_(driver) {
    Expect(driver.Check(driver.memory_allocate(&address_, bytes), "cuMemAlloc"));
    Expect(EnqueueFill(pointer(), byte, bytes, nullptr));
  }
  ~Memory() { Expect(driver_.Check(driver_.memory_free(address_), "cuMemFree")); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* pointer() const { return reinterpret_cast<void*>(address_); }

 private:
  const Driver& driver_;
  CuDevicePointer address_ = 0;
};

// One of each kernel in turn, on two lists that this thread alone has.
void UseKernels(const Driver& driver, CuStream stream) {
  const Memory average(driver, 8 * kElements, 1), variable(driver, 8 * kElements, 2);
  const Memory remainder(driver, 2 * kElements, 0);
  const Memory rates(driver, 256, 0x3d), keys(driver, 256, 0), found(driver, 256, 1);
  Expect(driver.Check(driver.context_synchronize(), "cuCtxSynchronize"));
  Lists pairs(2, 1);
  pairs.set_elements(0, kElements);
  pairs.set_buffer(0, 0, average.pointer());
  pairs.set_buffer(1, 0, variable.pointer());
  Lists halves(3, 1);
  halves.set_elements(0, kElements);
  halves.set_buffer(0, 0, average.pointer());
  halves.set_buffer(1, 0, remainder.pointer());
  halves.set_buffer(2, 0, variable.pointer());
  Lists variables(1, 1);
  variables.set_elements(0, kElements);
  variables.set_buffer(0, 0, variable.pointer());
  const auto* const device_rates = static_cast<const float*>(rates.pointer());
  for (const TableForm form : {TableForm::kSmall, TableForm::kLarge}) {
    const LaunchSettings settings = {stream, form};
    for (int i = 0; i < kDtypesCount; ++i) {
      const Dtypes dtypes = static_cast<Dtypes>(i);
      Expect(LaunchMovingAverage(dtypes, pairs, device_rates, settings));
      if (CanRoundStochastically(dtypes)) {
        Expect(LaunchStochasticAverage(dtypes, pairs, device_rates,
                                       static_cast<const int64_t*>(keys.pointer()), settings));
      }
      Expect(LaunchAllFinite(dtypes, variables, static_cast<bool*>(found.pointer()), settings));
    }
    Expect(LaunchSplitMovingAverage(halves, device_rates, settings));
    Expect(LaunchSwap(4, pairs, settings));
  }
  Expect(EnqueueCopy(average.pointer(), variable.pointer(), kElements, stream));
  // The stream gets to the call after the copy, and the host to both after the stream.
  std::vector<unsigned char> copy(kElements), after(kElements);
  bool called = false;
  Expect(EnqueueCopyToHost(copy.data(), variable.pointer(), kElements, stream));
  Expect(EnqueueCall([&] { called = true; }, stream));
  Expect(driver.Check(driver.stream_synchronize(stream), "cuStreamSynchronize"));
  const CuDevicePointer address = reinterpret_cast<CuDevicePointer>(average.pointer());
  Expect(driver.Check(driver.copy_to_host(after.data(), address, kElements), "cuMemcpyDtoH"));
  Expect(called && copy == after, "A call or a copy did not come in its turn.");
}

void UseRows(const Driver& driver, CuStream stream) {
  constexpr int64_t kRows = 40;
  constexpr int64_t kCapacity = 4;
  const Memory average(driver, kRows * 4, 0), variable(driver, kRows * 4, 0);
  const Memory seen(driver, kRows * 8, 0), clock(driver, ClockElements(kCapacity) * 8, 0);
  const Memory rates(driver, 256, 0x3d), indices(driver, kRows * 4, 0);
  Expect(driver.Check(driver.context_synchronize(), "cuCtxSynchronize"));
  const std::vector<RowTable> tables = {
      {average.pointer(), variable.pointer(), static_cast<int64_t*>(seen.pointer()),
       static_cast<double*>(clock.pointer()), ClockElements(kCapacity), kRows, 1}};
  const std::vector<RowList> rows = {{indices.pointer(), kRows, 4}};
  const LaunchSettings settings = {stream, std::nullopt};
  for (int step = 0; step < kCapacity + 2; ++step) {  // The clock starts anew.
    Expect(LaunchCatchUpRows(Dtypes::float32, tables, rows, settings));
    Expect(LaunchAdvanceRowClocks(Dtypes::float32, tables,
                                  static_cast<const float*>(rates.pointer()), settings));
  }
  Expect(LaunchCatchUpAllRows(Dtypes::float32, tables, settings));
  Expect(driver.Check(driver.stream_synchronize(stream), "cuStreamSynchronize"));
}

void UseContext() {
  const Driver* driver;
  Expect(Driver::Get(&driver));
  CuContext context;
  CuStream stream;
  Expect(driver->Check(driver->primary_context_retain(&context, 0), "cuDevicePrimaryCtxRetain"));
  Expect(driver->Check(driver->context_set_current(context), "cuCtxSetCurrent"));
  constexpr unsigned kBesideTheDefaultStream = 1;
  Expect(driver->Check(driver->stream_create(&stream, kBesideTheDefaultStream), "cuStreamCreate"));
  UseKernels(*driver, stream);
  UseRows(*driver, stream);
  Expect(driver->Check(driver->stream_destroy(stream), "cuStreamDestroy"));
}

}  // namespace
}  // namespace tf_mavg

int main() {
  using namespace tf_mavg;
  // Not among what the launcher needs.
  const auto release = reinterpret_cast<CuResult (*)(CuDevice)>(
      dlsym(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), "cuDevicePrimaryCtxRelease_v2"));
  for (int context = 0; context < kContexts; ++context) {
    OnThreads(kThreads, [](int) { UseContext(); });
    const Driver* driver;
    Expect(Driver::Get(&driver));
    // The last one ends the context; the next may have its address.
    for (int i = 0; i < kThreads; ++i) {
      Expect(driver->Check(release(0), "cuDevicePrimaryCtxRelease"));
    }
  }
  return failures == 0 ? 0 : 1;
}
