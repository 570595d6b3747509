// Launches the kernels. See launcher.h for the contract.

#include "cuda/launcher.h"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "cuda/context_kernels.h"
#include "cuda/table.h"
#include "cuda/table_plan.h"

namespace tf_mavg {
namespace {

// As many blocks as the device can run at once, or fewer if there is less to do.
int BlocksFor(const DeviceFacts& device, int32_t chunks) {
  const int resident =
      device.multiprocessors * std::max(1, device.threads_a_multiprocessor / kBlockThreads);
  return std::min(resident, chunks);
}

}  // namespace

GpuStatus Launch(const std::string& kernel, const Lists& lists, int64_t element_bytes,
                 const float* rates, const LaunchSettings& settings) {
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
  return WithTableType(lists.depth(), form, [&](auto type) {
    using Table = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    return ForEachTable<Table>(lists, element_bytes, rates, [&](const Table& table) {
      void* parameters[] = {const_cast<Table*>(&table)};  // The driver copies it before it returns.
      const int blocks = BlocksFor(device, TotalChunks(table));
      return driver->Check(driver->launch_kernel(function, blocks, 1, 1, kBlockThreads, 1, 1, 0,
                                                 settings.stream, parameters, nullptr),
                           "cuLaunchKernel");
    });
  });
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
