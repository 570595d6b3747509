// Copies of NumPy arrays in the memory of device 0, for as long as a call takes.

#ifndef TF_MAVG_CC_PYTHON_GPU_DEVICE_ARRAYS_H_
#define TF_MAVG_CC_PYTHON_GPU_DEVICE_ARRAYS_H_

#include <cstdint>
#include <vector>

#include "cc/python/gpu/gpu_context.h"
#include "cuda/driver/driver.h"

namespace tf_mavg {

// Copies of arrays in device memory, each some bytes behind the address that the driver gave, which
// is a multiple of 256.
class DeviceArrays {
 public:
  explicit DeviceArrays(const Driver& driver) : driver_(driver) {}
  ~DeviceArrays() {
    for (const Allocation& allocation : allocations_) driver_.memory_free(allocation.base);
  }
  DeviceArrays(const DeviceArrays&) = delete;
  DeviceArrays& operator=(const DeviceArrays&) = delete;

  void* CopyIn(const void* host, int64_t bytes, int64_t offset) {
    Allocation allocation{0, offset, bytes};
    if (bytes > 0) {  // The driver allocates no empty memory.
      Require(
          driver_.Check(driver_.memory_allocate(&allocation.base, offset + bytes), "cuMemAlloc"));
      allocations_.push_back(allocation);
      Require(driver_.Check(driver_.copy_to_device(allocation.base + offset, host, bytes),
                            "cuMemcpyHtoD"));
    }
    return reinterpret_cast<void*>(allocation.base + offset);
  }

  void CopyOut(const void* device, void* host, int64_t bytes) const {
    if (bytes == 0) return;
    Require(
        driver_.Check(driver_.copy_to_host(host, reinterpret_cast<CuDevicePointer>(device), bytes),
                      "cuMemcpyDtoH"));
  }

 private:
  struct Allocation {
    CuDevicePointer base;
    int64_t offset;
    int64_t bytes;
  };

  const Driver& driver_;
  std::vector<Allocation> allocations_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_GPU_DEVICE_ARRAYS_H_
