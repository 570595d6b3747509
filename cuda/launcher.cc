// Launches the kernels. See launcher.h for the contract.

#include "cuda/launcher.h"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

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

CuDevicePointer Address(const void* buffer) { return reinterpret_cast<CuDevicePointer>(buffer); }

}  // namespace

GpuStatus Launch(const std::string& kernel, const Lists& lists, int64_t element_bytes,
                 const Operands& operands, const LaunchSettings& settings) {
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
    return ForEachTable<Table>(lists, element_bytes, operands, [&](const Table& table) {
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
  return driver->Check(driver->copy_on_device(Address(to), Address(from), bytes, stream),
                       "cuMemcpyDtoDAsync");
}

GpuStatus EnqueueCopyToHost(void* to, const void* from, int64_t bytes, CuStream stream) {
  const Driver* driver;
  if (GpuStatus status = Driver::Get(&driver); !status.ok()) return status;
  return driver->Check(driver->enqueue_copy_to_host(to, Address(from), bytes, stream),
                       "cuMemcpyDtoHAsync");
}

GpuStatus EnqueueFill(void* buffer, uint8_t byte, int64_t bytes, CuStream stream) {
  const Driver* driver;
  if (GpuStatus status = Driver::Get(&driver); !status.ok()) return status;
  return driver->Check(driver->fill(Address(buffer), byte, bytes, stream), "cuMemsetD8Async");
}

GpuStatus EnqueueCall(std::function<void()> function, CuStream stream) {
  using Function = std::function<void()>;
  const Driver* driver;
  if (GpuStatus status = Driver::Get(&driver); !status.ok()) return status;
  auto held = std::make_unique<Function>(std::move(function));
  const auto call = [](void* data) {
    const std::unique_ptr<Function> owned(static_cast<Function*>(data));
    (*owned)();
  };
  GpuStatus status =
      driver->Check(driver->launch_host_function(stream, call, held.get()), "cuLaunchHostFunc");
  if (status.ok()) held.release();  // NOLINT: `call` owns it, and may have deleted it by now.
  return status;
}

}  // namespace tf_mavg
