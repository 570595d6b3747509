// Launches the kernels. See launcher.h for the contract.

#include "cuda/launcher.h"

#include <algorithm>
#include <memory>

#include "cuda/context_kernels.h"
#include "cuda/pair_table.h"
#include "cuda/table_plan.h"

namespace tf_mavg {
namespace {

// As many blocks as the device can run at once, or fewer if there is less to do.
int BlocksFor(const DeviceFacts& device, int32_t chunks) {
  const int resident =
      device.multiprocessors * std::max(1, device.threads_a_multiprocessor / kBlockThreads);
  return std::min(resident, chunks);
}

template <typename Table>
GpuStatus LaunchTables(const Driver& driver, const DeviceFacts& device, CuFunction function,
                       const std::vector<PairBuffers>& pairs, int64_t first_bytes,
                       const float* decay, CuStream stream) {
  return ForEachTable<Table>(pairs, first_bytes, decay, [&](const Table& table) {
    void* parameters[] = {const_cast<Table*>(&table)};  // The driver copies it before it returns.
    const int blocks = BlocksFor(device, TotalChunks(table));
    return driver.Check(driver.launch_kernel(function, blocks, 1, 1, kBlockThreads, 1, 1, 0, stream,
                                             parameters, nullptr),
                        "cuLaunchKernel");
  });
}

GpuStatus Launch(int kernel, const std::vector<PairBuffers>& pairs, int64_t first_bytes,
                 const float* decay, const LaunchSettings& settings) {
  const Driver* driver;
  if (GpuStatus status = Driver::Get(&driver); !status.ok()) return status;
  std::shared_ptr<ContextKernels> kernels;
  GpuStatus status = ContextKernels::OfCurrentContext(*driver, &kernels);
  if (!status.ok()) return status;
  const DeviceFacts& device = kernels->device();
  const TableForm form =
      settings.form.value_or(LargestTableForm(driver->version, device.compute_capability));
  CuFunction function;
  status = kernels->Find(form, kernel, &function);
  if (!status.ok()) return status;
  const auto launch_tables =
      form == TableForm::kLarge ? LaunchTables<LargePairTable> : LaunchTables<SmallPairTable>;
  return launch_tables(*driver, device, function, pairs, first_bytes, decay, settings.stream);
}

}  // namespace

GpuStatus LaunchUpdate(PairType type, const std::vector<PairBuffers>& pairs, const float* decay,
                       const LaunchSettings& settings) {
  return Launch(static_cast<int>(type), pairs, TraitsOf(type).average_bytes, decay, settings);
}

GpuStatus LaunchSwap(int64_t element_bytes, const std::vector<PairBuffers>& pairs,
                     const LaunchSettings& settings) {
  std::vector<PairBuffers> bytes = pairs;
  for (PairBuffers& pair : bytes) pair.elements *= element_bytes;
  return Launch(kSwapKernel, bytes, 1, nullptr, settings);
}

GpuStatus EnqueueCopy(void* to, const void* from, int64_t bytes, CuStream stream) {
  const Driver* driver;
  if (GpuStatus status = Driver::Get(&driver); !status.ok()) return status;
  return driver->Check(
      driver->copy_on_device(reinterpret_cast<CuDevicePointer>(to),
                             reinterpret_cast<CuDevicePointer>(from), bytes, stream),
      "cuMemcpyDtoDAsync");
}

}  // namespace tf_mavg
