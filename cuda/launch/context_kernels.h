// The kernels of the library in one CUDA context: loaded when first used there, once.
//
// Ownership: a module belongs to its context, and the driver frees it with the context. What is
// kept here of a context that is gone is a few handles, which are dropped when a new context has
// the same address: contexts carry an id that is never used again.
// Locks: one for the list of contexts, one a context for its modules; both are held for a look-up
// only, except that the second one is held while the driver loads a module.

#ifndef TF_MAVG_CUDA_LAUNCH_CONTEXT_KERNELS_H_
#define TF_MAVG_CUDA_LAUNCH_CONTEXT_KERNELS_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "cuda/driver/driver.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/images.h"

namespace tf_mavg {

struct DeviceFacts {
  int compute_capability;  // 90 is 9.0.
  int multiprocessors;
  int threads_a_multiprocessor;
};

GpuStatus ReadDeviceFacts(const Driver& driver, CuDevice device, DeviceFacts* facts);

class ContextKernels {
 public:
  // Those of the calling thread's current context.
  static GpuStatus OfCurrentContext(const Driver& driver, std::shared_ptr<ContextKernels>* kernels);

  const DeviceFacts& device() const { return device_; }

  // The kernel of kernels.cu with this name, for tables of the given form. Loads the module on
  // first use. With the environment
  // variable TF_MAVG_FORCE_PTX set to anything but 0, the module is compiled by the driver from
  // PTX, as CUDA_FORCE_PTX_JIT does for the CUDA runtime.
  GpuStatus Find(TableForm form, const std::string& kernel, CuFunction* function);

 private:
  struct Module {
    CuModule handle = nullptr;
    std::map<std::string, CuFunction> functions;  // Those that were asked for.
  };

  ContextKernels(const Driver& driver, uint64_t context_id)
      : driver_(driver), context_id_(context_id) {}

  GpuStatus Load(TableForm form, CuModule* module) const;

  const Driver& driver_;
  const uint64_t context_id_;
  DeviceFacts device_{};
  std::mutex mu_;
  std::array<Module, kTableForms> modules_;  // By TableForm; guarded by mu_.
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAUNCH_CONTEXT_KERNELS_H_
