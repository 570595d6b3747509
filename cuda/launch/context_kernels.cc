// Loads the kernels into CUDA contexts. See context_kernels.h for the contract.

#include "cuda/launch/context_kernels.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace tf_mavg {
namespace {

// Older ones cannot take a kernel's parameter by reference, as __grid_constant__ asks for.
constexpr int kOldestComputeCapability = 70;

bool ForcePtx() {
  const char* value = std::getenv("TF_MAVG_FORCE_PTX");
  return value != nullptr && *value != '\0' && std::strcmp(value, "0") != 0;
}

}  // namespace

GpuStatus ReadDeviceFacts(const Driver& driver, CuDevice device, DeviceFacts* facts) {
  int major = 0;
  int minor = 0;
  const struct {
    CuDeviceAttribute attribute;
    int* value;
  } wanted[] = {{kComputeCapabilityMajor, &major},
                {kComputeCapabilityMinor, &minor},
                {kMultiprocessorCount, &facts->multiprocessors},
                {kMaxThreadsPerMultiprocessor, &facts->threads_a_multiprocessor}};
  for (const auto& [attribute, value] : wanted) {
    GpuStatus status =
        driver.Check(driver.device_get_attribute(value, attribute, device), "cuDeviceGetAttribute");
    if (!status.ok()) return status;
  }
  facts->compute_capability = 10 * major + minor;
  return {};
}

GpuStatus ContextKernels::OfCurrentContext(const Driver& driver,
                                           std::shared_ptr<ContextKernels>* kernels) {
  CuContext context = nullptr;
  GpuStatus status = driver.Check(driver.context_get_current(&context), "cuCtxGetCurrent");
  if (!status.ok()) return status;
  if (context == nullptr) {
    return {GpuStatus::Code::kFailed, "The calling thread has no current CUDA context."};
  }
  uint64_t id = 0;
  status = driver.Check(driver.context_get_id(context, &id), "cuCtxGetId");
  if (!status.ok()) return status;
  static std::mutex& mu = *new std::mutex;
  static auto& contexts = *new std::map<CuContext, std::shared_ptr<ContextKernels>>;
  const std::lock_guard<std::mutex> lock(mu);
  std::shared_ptr<ContextKernels>& found = contexts[context];
  if (found == nullptr || found->context_id_ != id) {
    std::shared_ptr<ContextKernels> made(new ContextKernels(driver, id));
    CuDevice device;
    status = driver.Check(driver.context_get_device(&device), "cuCtxGetDevice");
    if (status.ok()) status = ReadDeviceFacts(driver, device, &made->device_);
    if (!status.ok()) return status;
    found = std::move(made);
  }
  *kernels = found;
  return {};
}

GpuStatus ContextKernels::Find(TableForm form, const std::string& kernel, CuFunction* function) {
  const std::lock_guard<std::mutex> lock(mu_);
  Module& module = modules_[static_cast<int>(form)];
  if (module.handle == nullptr) {
    if (GpuStatus status = Load(form, &module.handle); !status.ok()) return status;
  }
  if (const auto found = module.functions.find(kernel); found != module.functions.end()) {
    *function = found->second;
    return {};
  }
  GpuStatus status = driver_.Check(
      driver_.module_get_function(function, module.handle, kernel.c_str()), "cuModuleGetFunction");
  if (status.ok()) module.functions.emplace(kernel, *function);
  return status;
}

GpuStatus ContextKernels::Load(TableForm form, CuModule* module) const {
  const bool force_ptx = ForcePtx();
  const GpuImage* const image =
      ChooseImage(EmbeddedImages(), form, device_.compute_capability, force_ptx);
  if (image == nullptr) {
    const std::string architecture = std::to_string(device_.compute_capability);
    const bool can_build = device_.compute_capability >= kOldestComputeCapability;
    return {GpuStatus::Code::kUnsupported,
            "tf_mavg has no " + std::string(force_ptx ? "PTX" : "kernels") +
                " for this GPU, of architecture sm_" + architecture +
                ". It was built for: " + ArchitecturesText(EmbeddedImages()) + ". " +
                (can_build ? "Build it with TF_MAVG_CUDA_ARCHITECTURES=" + architecture + "."
                           : "It needs sm_" + std::to_string(kOldestComputeCapability) +
                                 " or newer: keep the variables on the CPU.")};
  }
  return driver_.Check(driver_.module_load_data(module, image->data), "cuModuleLoadData");
}

}  // namespace tf_mavg
