// Finds the driver and puts its errors into words. See driver.h for the contract.

#include "cuda/driver/driver.h"

#include <dlfcn.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace tf_mavg {
namespace {

// What NVRTC 12 makes runs on every driver of CUDA 12 and above.
constexpr int kOldestVersion = 12000;

std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

struct Library {
  void* const handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  std::string missing;

  template <typename Function>
  void Find(const char* name, Function** function) {
    *function = reinterpret_cast<Function*>(dlsym(handle, name));
    if (*function == nullptr) missing += std::string(" ") + name;
  }
};

GpuStatus FindFunctions(Driver* driver) {
  Library library;
  if (library.handle == nullptr) {
    return {GpuStatus::Code::kUnavailable, std::string("No CUDA driver: ") + dlerror() +
                                               ". Install the NVIDIA driver to use a GPU."};
  }
  library.Find("cuInit", &driver->init);
  library.Find("cuDriverGetVersion", &driver->driver_get_version);
  library.Find("cuGetErrorName", &driver->get_error_name);
  library.Find("cuGetErrorString", &driver->get_error_string);
  library.Find("cuDeviceGet", &driver->device_get);
  library.Find("cuDeviceGetCount", &driver->device_get_count);
  library.Find("cuDeviceGetName", &driver->device_get_name);
  library.Find("cuDeviceGetAttribute", &driver->device_get_attribute);
  library.Find("cuDevicePrimaryCtxRetain", &driver->primary_context_retain);
  library.Find("cuCtxGetCurrent", &driver->context_get_current);
  library.Find("cuCtxSetCurrent", &driver->context_set_current);
  library.Find("cuCtxGetDevice", &driver->context_get_device);
  library.Find("cuCtxGetId", &driver->context_get_id);
  library.Find("cuCtxSynchronize", &driver->context_synchronize);
  library.Find("cuModuleLoadData", &driver->module_load_data);
  library.Find("cuModuleGetFunction", &driver->module_get_function);
  library.Find("cuLaunchKernel", &driver->launch_kernel);
  library.Find("cuMemAlloc_v2", &driver->memory_allocate);
  library.Find("cuMemFree_v2", &driver->memory_free);
  library.Find("cuMemcpyHtoD_v2", &driver->copy_to_device);
  library.Find("cuMemcpyDtoH_v2", &driver->copy_to_host);
  library.Find("cuMemcpyDtoHAsync_v2", &driver->enqueue_copy_to_host);
  library.Find("cuMemsetD8Async", &driver->fill);
  library.Find("cuLaunchHostFunc", &driver->launch_host_function);
  library.Find("cuMemcpyDtoDAsync_v2", &driver->copy_on_device);
  library.Find("cuMemGetInfo_v2", &driver->memory_get_info);
  library.Find("cuStreamCreate", &driver->stream_create);
  library.Find("cuStreamDestroy_v2", &driver->stream_destroy);
  library.Find("cuStreamSynchronize", &driver->stream_synchronize);
  library.Find("cuEventCreate", &driver->event_create);
  library.Find("cuEventDestroy_v2", &driver->event_destroy);
  library.Find("cuEventRecord", &driver->event_record);
  library.Find("cuEventSynchronize", &driver->event_synchronize);
  library.Find("cuEventElapsedTime", &driver->event_elapsed_time);
  if (library.missing.empty()) return {};
  return {GpuStatus::Code::kUnsupported, "libcuda.so.1 lacks" + library.missing +
                                             ". Install an NVIDIA driver for CUDA " +
                                             VersionText(kOldestVersion) + " or newer."};
}

GpuStatus Load(Driver* driver) {
  if (GpuStatus status = FindFunctions(driver); !status.ok()) return status;
  if (GpuStatus status = driver->Check(driver->init(0), "cuInit"); !status.ok()) return status;
  GpuStatus status =
      driver->Check(driver->driver_get_version(&driver->version), "cuDriverGetVersion");
  if (!status.ok() || driver->version >= kOldestVersion) return status;
  return {GpuStatus::Code::kUnsupported,
          "The NVIDIA driver supports CUDA " + VersionText(driver->version) + ", but CUDA " +
              VersionText(kOldestVersion) + " is needed. Install a newer driver."};
}

// What the user can do about a result of the driver; empty where its own words are enough.
const char* AdviceFor(CuResult result) {
  switch (result) {
    case 2:  // CUDA_ERROR_OUT_OF_MEMORY
      return " Free device memory, or let TensorFlow take less of it.";
    case 100:  // CUDA_ERROR_NO_DEVICE
      return " Check CUDA_VISIBLE_DEVICES and nvidia-smi.";
    case 209:  // CUDA_ERROR_NO_BINARY_FOR_GPU
      return " Build tf_mavg with TF_MAVG_CUDA_ARCHITECTURES naming this device's architecture.";
    case 218:  // CUDA_ERROR_INVALID_PTX
    case 222:  // CUDA_ERROR_UNSUPPORTED_PTX_VERSION
      return " The driver is too old for PTX of CUDA 12.9: install a newer one, or unset "
             "TF_MAVG_FORCE_PTX.";
    case 700:  // CUDA_ERROR_ILLEGAL_ADDRESS
    case 716:  // CUDA_ERROR_MISALIGNED_ADDRESS
    case 719:  // CUDA_ERROR_LAUNCH_FAILED
      return " The fault may be of any kernel that ran before on this device; "
             "CUDA_LAUNCH_BLOCKING=1 shows which.";
    default:
      return "";
  }
}

bool IsUnsupported(CuResult result) { return result == 209 || result == 218 || result == 222; }

}  // namespace

GpuStatus Driver::Get(const Driver** driver) {
  static std::mutex& mu = *new std::mutex;
  static std::unique_ptr<const Driver>& loaded = *new std::unique_ptr<const Driver>;
  const std::lock_guard<std::mutex> lock(mu);
  if (loaded == nullptr) {
    auto found = std::make_unique<Driver>();
    if (GpuStatus status = Load(found.get()); !status.ok()) return status;
    loaded = std::move(found);
  }
  *driver = loaded.get();
  return {};
}

GpuStatus Driver::Check(CuResult result, const char* call) const {
  if (result == 0) return {};
  const char* name = nullptr;
  const char* text = nullptr;
  if (get_error_name(result, &name) != 0 || name == nullptr) name = "unknown error";
  if (get_error_string(result, &text) != 0 || text == nullptr) text = "no description";
  std::string message =
      std::string(call) + " failed: " + name + " (" + std::to_string(result) + "), " + text;
  if (message.back() != '.') message += '.';
  return {IsUnsupported(result) ? GpuStatus::Code::kUnsupported : GpuStatus::Code::kFailed,
          message + AdviceFor(result)};
}

}  // namespace tf_mavg
