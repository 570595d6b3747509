// Entry points: modules, functions, launches.
//
// One lock guards the tables of modules and functions. A launch keeps its module alive until it has
// run, so unloading a module does not disturb one that is queued.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "entry_points/driver.h"
#include "instructions/interpreter.h"
#include "machine/options.h"
#include "machine/report.h"
#include "program/image.h"
#include "program/ptx_module.h"

namespace gpu_emulator {
namespace {

struct Function {
  std::shared_ptr<Module> module;
  const Kernel* kernel;
  int device;
};

struct LoadedModule {
  std::shared_ptr<Module> module;
  int device;
  std::map<std::string, std::shared_ptr<Function>> functions;
};

std::mutex mutex;
std::map<const void*, std::unique_ptr<LoadedModule>>& modules =
    *new std::map<const void*, std::unique_ptr<LoadedModule>>;
std::map<const void*, std::shared_ptr<Function>>& functions =
    *new std::map<const void*, std::shared_ptr<Function>>;

using LoadedModules = std::map<const void*, std::unique_ptr<LoadedModule>>;

// Needs the lock. The module after it.
LoadedModules::iterator Unload(LoadedModules::iterator module) {
  Record("module_unload").Add("device", module->second->device);
  for (const auto& [name, function] : module->second->functions) functions.erase(function.get());
  return modules.erase(module);
}

std::shared_ptr<Function> FindFunction(CUfunction handle) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = functions.find(handle);
  return found == functions.end() ? nullptr : found->second;
}

// The parameters as the kernel sees them, copied as CUDA does before the launch returns.
CUresult CopyParameters(const Kernel& kernel, void** pointers, void** extra,
                        std::vector<std::byte>* parameters) {
  parameters->resize(kernel.parameter_bytes);
  if (kernel.parameter_bytes > GetOptions().parameter_limit()) return CUDA_ERROR_INVALID_VALUE;
  if (kernel.parameter_bytes == 0) return CUDA_SUCCESS;
  if (pointers != nullptr) {
    for (const Parameter& parameter : kernel.parameters) {
      std::memcpy(parameters->data() + parameter.offset, *pointers++, parameter.bytes);
    }
    return CUDA_SUCCESS;
  }
  const void* buffer = nullptr;
  size_t bytes = 0;
  for (; extra != nullptr && *extra != CU_LAUNCH_PARAM_END; extra += 2) {
    if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[1];
    if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE) bytes = *static_cast<size_t*>(extra[1]);
  }
  if (buffer == nullptr || bytes < parameters->size()) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(parameters->data(), buffer, parameters->size());
  return CUDA_SUCCESS;
}

bool IsValidShape(const Launch& launch) {
  const auto& grid = launch.grid;
  const auto& block = launch.block;
  const auto is_zero = [](uint32_t extent) { return extent == 0; };
  if (std::any_of(grid.begin(), grid.end(), is_zero)) return false;
  if (std::any_of(block.begin(), block.end(), is_zero)) return false;
  if (grid[0] > INT32_MAX || grid[1] > 65535 || grid[2] > 65535 || block[2] > 64) return false;
  return uint64_t{block[0]} * block[1] * block[2] <= launch.kernel->maximum_threads;
}

}  // namespace

void UnloadModules(int device) {
  std::lock_guard<std::mutex> lock(mutex);
  for (auto module = modules.begin(); module != modules.end();) {
    module = module->second->device == device ? Unload(module) : std::next(module);
  }
}

}  // namespace gpu_emulator

using namespace gpu_emulator;  // NOLINT: the entry points are global

CUresult cuModuleLoadData(CUmodule* handle, const void* image) {
  if (CurrentDevice() == kNoDevice) return CUDA_ERROR_INVALID_CONTEXT;
  const int capability = GetOptions().compute_capability;
  std::string why;
  std::optional<std::string> text = FindPtx(image, capability, &why);
  CUresult result = text ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
  std::shared_ptr<Module> module;
  if (text) {
    module = Module::Parse(std::move(*text), &why);
    if (module == nullptr) {
      result = CUDA_ERROR_INVALID_PTX;
    } else if (module->version() > GetOptions().maximum_ptx_version.value_or(INT32_MAX)) {
      result = CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    } else if (module->target() > capability) {
      result = CUDA_ERROR_NO_BINARY_FOR_GPU;
      why = "the PTX is for sm_" + std::to_string(module->target());
    }
  }
  Record record("module_load");
  record.Add("device", CurrentDevice()).Add("result", result);
  if (result != CUDA_SUCCESS) {
    record.Add("why", why);
    return result;
  }
  record.Add("target", module->target()).Add("ptx_version", module->version());
  auto loaded = std::make_unique<LoadedModule>();
  loaded->module = std::move(module);
  loaded->device = CurrentDevice();
  *handle = reinterpret_cast<CUmodule>(loaded.get());
  std::lock_guard<std::mutex> lock(mutex);
  modules[*handle] = std::move(loaded);
  return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule handle) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = modules.find(handle);
  if (found == modules.end()) return CUDA_ERROR_INVALID_HANDLE;
  Unload(found);
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule handle, const char* name) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = modules.find(handle);
  if (found == modules.end()) return CUDA_ERROR_INVALID_HANDLE;
  LoadedModule& loaded = *found->second;
  const Kernel* kernel = loaded.module->FindKernel(name);
  if (kernel == nullptr) return CUDA_ERROR_NOT_FOUND;
  std::shared_ptr<Function>& entry = loaded.functions[name];
  if (entry == nullptr) {
    entry = std::make_shared<Function>(Function{loaded.module, kernel, loaded.device});
    functions[entry.get()] = entry;
  }
  *function = reinterpret_cast<CUfunction>(entry.get());
  return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  const auto function = FindFunction(handle);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = static_cast<int>(function->kernel->maximum_threads);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      *value = static_cast<int>(function->kernel->shared_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      *value = static_cast<int>(function->kernel->local_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      *value = function->module->target();
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      *value = GetOptions().compute_capability;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:  // machine code has them, PTX does not: what a kernel may use
      *value = 32;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction handle, int block_size,
                                                     size_t) {
  if (FindFunction(handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (block_size <= 0) return CUDA_ERROR_INVALID_VALUE;
  *blocks = std::min(2048 / block_size, 32);
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream_handle, void** parameters, void** extra) {
  const auto function = FindFunction(handle);
  const auto stream = UseStream(stream_handle);
  if (function == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (function->device != stream->device()) return CUDA_ERROR_INVALID_HANDLE;
  Launch launch{function->kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z},
                shared_bytes,     function->device,         {}};
  if (!IsValidShape(launch)) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = CopyParameters(*function->kernel, parameters, extra, &launch.parameters);
  if (result != CUDA_SUCCESS) return result;
  if (function->kernel->name == GetOptions().refused_kernel) {
    return static_cast<CUresult>(GetOptions().refusal);
  }
  Record("launch")
      .Add("kernel", function->kernel->name)
      .Add("grid", {grid_x, grid_y, grid_z})
      .Add("block", {block_x, block_y, block_z})
      .Add("parameter_bytes", function->kernel->parameter_bytes)
      .Add("shared_bytes", shared_bytes)
      .Add("stream", stream->id())
      .Add("device", stream->device());
  stream->Enqueue([function, launch = std::move(launch)] { Run(launch); });
  return CUDA_SUCCESS;
}
