// The part of the CUDA driver API that is used here, found in libcuda.so.1 when first asked for.
//
// Types and signatures are declared from the API's documentation, so neither a CUDA header nor a
// CUDA library is needed to build, and the library loads on machines without a driver. The driver
// is never unloaded. Everything here may be called from any thread.

#ifndef TF_MAVG_CUDA_DRIVER_DRIVER_H_
#define TF_MAVG_CUDA_DRIVER_DRIVER_H_

#include <cstddef>
#include <cstdint>

#include "cuda/driver/gpu_status.h"

namespace tf_mavg {

using CuResult = int;  // 0 is success.
using CuDevice = int;
using CuDevicePointer = uint64_t;
using CuContext = struct CuContextStruct*;
using CuModule = struct CuModuleStruct*;
using CuFunction = struct CuFunctionStruct*;
using CuStream = struct CuStreamStruct*;
using CuEvent = struct CuEventStruct*;

// Values of CUdevice_attribute.
enum CuDeviceAttribute : int {
  kMultiprocessorCount = 16,
  kMaxThreadsPerMultiprocessor = 39,
  kComputeCapabilityMajor = 75,
  kComputeCapabilityMinor = 76,
};

struct Driver {
  CuResult (*init)(unsigned flags);
  CuResult (*driver_get_version)(int* version);
  CuResult (*get_error_name)(CuResult result, const char** name);
  CuResult (*get_error_string)(CuResult result, const char** text);
  CuResult (*device_get)(CuDevice* device, int ordinal);
  CuResult (*device_get_count)(int* count);
  CuResult (*device_get_name)(char* name, int bytes, CuDevice device);
  CuResult (*device_get_attribute)(int* value, int attribute, CuDevice device);
  CuResult (*primary_context_retain)(CuContext* context, CuDevice device);
  CuResult (*context_get_current)(CuContext* context);
  CuResult (*context_set_current)(CuContext context);
  CuResult (*context_get_device)(CuDevice* device);
  CuResult (*context_get_id)(CuContext context, uint64_t* id);
  CuResult (*context_synchronize)();
  CuResult (*module_load_data)(CuModule* module, const void* image);
  CuResult (*module_get_function)(CuFunction* function, CuModule module, const char* name);
  CuResult (*launch_kernel)(CuFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                            unsigned block_x, unsigned block_y, unsigned block_z,
                            unsigned shared_bytes, CuStream stream, void** parameters,
                            void** extra);
  CuResult (*memory_allocate)(CuDevicePointer* address, size_t bytes);
  CuResult (*memory_free)(CuDevicePointer address);
  CuResult (*copy_to_device)(CuDevicePointer to, const void* from, size_t bytes);
  CuResult (*copy_to_host)(void* to, CuDevicePointer from, size_t bytes);
  CuResult (*enqueue_copy_to_host)(void* to, CuDevicePointer from, size_t bytes, CuStream stream);
  CuResult (*fill)(CuDevicePointer address, unsigned char byte, size_t bytes, CuStream stream);
  CuResult (*launch_host_function)(CuStream stream, void (*function)(void*), void* data);
  CuResult (*copy_on_device)(CuDevicePointer to, CuDevicePointer from, size_t bytes,
                             CuStream stream);
  CuResult (*memory_get_info)(size_t* free_bytes, size_t* total_bytes);
  CuResult (*stream_create)(CuStream* stream, unsigned flags);
  CuResult (*stream_destroy)(CuStream stream);
  CuResult (*stream_synchronize)(CuStream stream);
  CuResult (*event_create)(CuEvent* event, unsigned flags);
  CuResult (*event_destroy)(CuEvent event);
  CuResult (*event_record)(CuEvent event, CuStream stream);
  CuResult (*event_synchronize)(CuEvent event);
  CuResult (*event_elapsed_time)(float* milliseconds, CuEvent begin, CuEvent end);

  int version;  // As cuDriverGetVersion: 12090 is CUDA 12.9.

  // The driver, initialised. Once found it is kept; else an error says why there is none.
  static GpuStatus Get(const Driver** driver);

  // An error for any result but success: "<call> failed: <the driver's words>. <what to do>".
  GpuStatus Check(CuResult result, const char* call) const;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_DRIVER_DRIVER_H_
