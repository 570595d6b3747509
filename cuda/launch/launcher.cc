// Launches the kernels. See launcher.h for the contract.

#include "cuda/launch/launcher.h"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include "cuda/launch/context_kernels.h"
#include "cuda/launch/table_plan.h"
#include "cuda/tables/table.h"

namespace tf_mavg {
namespace {

// As many blocks as the device can run at once, or fewer if there is less to do.
int BlocksFor(const DeviceFacts& device, int64_t chunks) {
  const int64_t resident =
      device.multiprocessors * std::max(1, device.threads_a_multiprocessor / kBlockThreads);
  return static_cast<int>(std::min(resident, chunks));
}

// A kernel in the current context, in the form of the settings.
class Kernel {
 public:
  static GpuStatus Find(const std::string& name, const LaunchSettings& settings, Kernel* kernel) {
    if (GpuStatus status = Driver::Get(&kernel->driver_); !status.ok()) return status;
    std::shared_ptr<ContextKernels> kernels;
    GpuStatus status = ContextKernels::OfCurrentContext(*kernel->driver_, &kernels);
    if (!status.ok()) return status;
    kernel->device_ = kernels->device();
    kernel->stream_ = settings.stream;
    kernel->form_ = settings.form.value_or(
        LargestTableForm(kernel->driver_->version, kernel->device_.compute_capability));
    return kernels->Find(kernel->form_, name, &kernel->function_);
  }

  TableForm form() const { return form_; }

  GpuStatus Run(const void* parameter, int64_t chunks) const {
    void* parameters[] = {const_cast<void*>(parameter)};  // The driver copies what it points to.
    return driver_->Check(
        driver_->launch_kernel(function_, BlocksFor(device_, chunks), 1, 1, kBlockThreads, 1, 1, 0,
                               stream_, parameters, nullptr),
        "cuLaunchKernel");
  }

 private:
  const Driver* driver_ = nullptr;
  DeviceFacts device_{};
  CuStream stream_ = nullptr;
  TableForm form_{};
  CuFunction function_ = nullptr;
};

CuDevicePointer Address(const void* buffer) { return reinterpret_cast<CuDevicePointer>(buffer); }

}  // namespace

GpuStatus Launch(const std::string& kernel, const Lists& lists, int64_t element_bytes,
                 const Operands& operands, const LaunchSettings& settings) {
  Kernel found;
  if (GpuStatus status = Kernel::Find(kernel, settings, &found); !status.ok()) return status;
  return WithTableType(lists.depth(), found.form(), [&](auto type) {
    using Table = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    return ForEachTable<Table>(lists, element_bytes, operands, [&](const Table& table) {
      return found.Run(&table, TotalChunks(table));
    });
  });
}

GpuStatus LaunchOn(const std::string& kernel, const void* parameter, int64_t chunks,
                   const LaunchSettings& settings) {
  Kernel found;
  if (GpuStatus status = Kernel::Find(kernel, settings, &found); !status.ok()) return status;
  return found.Run(parameter, chunks);
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
