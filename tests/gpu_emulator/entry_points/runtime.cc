// Test-only libcudart.so.12: what TensorFlow's own kernels, compiled by clang for CUDA, need of the
// runtime. A kernel is registered with its fat binary when a library is loaded, found by the
// address of its host stub, and launched through the driver. One lock guards the registrations.
//
// A launch that the driver refuses dies: TensorFlow's Eigen kernels ignore the error code.

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>

#include "machine/report.h"

namespace {

struct FatBinary {
  const void* image;
  std::unordered_map<CUcontext, CUmodule> modules;
};

struct HostStub {
  FatBinary* binary;
  std::string kernel;
};

struct CallConfiguration {
  dim3 grid, block;
  size_t shared_bytes;
  void* stream;
};

std::mutex& mutex = *new std::mutex;
thread_local CallConfiguration configuration;

// Filled while libraries are loaded, so it cannot be an ordinary global.
std::unordered_map<const void*, HostStub>& Stubs() {
  static auto& stubs = *new std::unordered_map<const void*, HostStub>;
  return stubs;
}

void Check(CUresult result, const std::string& what) {
  if (result != CUDA_SUCCESS) {
    gpu_emulator::Die(what + " failed with CUDA error " + std::to_string(result));
  }
}

CUfunction FindFunction(const void* address) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = Stubs().find(address);
  if (found == Stubs().end()) gpu_emulator::Die("launch of a kernel that was never registered");
  const HostStub& stub = found->second;
  CUcontext context = nullptr;
  cuCtxGetCurrent(&context);
  CUmodule& module = stub.binary->modules[context];
  if (module == nullptr) {
    Check(cuModuleLoadData(&module, stub.binary->image), "loading the module of " + stub.kernel);
  }
  CUfunction function = nullptr;
  Check(cuModuleGetFunction(&function, module, stub.kernel.c_str()), "finding " + stub.kernel);
  return function;
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* image) {
  return reinterpret_cast<void**>(new FatBinary{image, {}});
}

void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}

void __cudaRegisterFunction(void** binary, const char* host, char*, const char* name, int, void*,
                            void*, void*, void*, int*) {
  std::lock_guard<std::mutex> lock(mutex);
  Stubs()[host] = {reinterpret_cast<FatBinary*>(binary), name};
}

// A kernel that uses a global variable is refused when it is decoded.
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

// `kernel<<<grid, block, shared, stream>>>(...)` pushes; the host stub pops and launches.
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, void* stream) {
  configuration = {grid, block, shared_bytes, stream};
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes,
                                       void** stream) {
  *grid = configuration.grid;
  *block = configuration.block;
  *shared_bytes = configuration.shared_bytes;
  *stream = configuration.stream;
  return cudaSuccess;
}

}  // extern "C"

cudaError_t cudaLaunchKernel(const void* stub, dim3 grid, dim3 block, void** parameters,
                             size_t shared_bytes, cudaStream_t stream) {
  Check(cuLaunchKernel(FindFunction(stub), grid.x, grid.y, grid.z, block.x, block.y, block.z,
                       static_cast<unsigned>(shared_bytes), stream, parameters, nullptr),
        "cudaLaunchKernel");
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 12050;  // what TensorFlow 2.21 is built with
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }  // every failure dies
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

// The runtime's device is the one of the thread's current context, else the first.
cudaError_t cudaGetDevice(int* device) {
  if (cuCtxGetDevice(device) != CUDA_SUCCESS) *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  CUcontext context = nullptr;
  Check(cuDevicePrimaryCtxRetain(&context, device), "cudaSetDevice");
  Check(cuCtxSetCurrent(context), "cudaSetDevice");
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  Check(cuCtxGetStreamPriorityRange(least, greatest), "cudaDeviceGetStreamPriorityRange");
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  Check(cuDeviceGetCount(count), "cudaGetDeviceCount");
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  Check(cuDeviceGetAttribute(value, static_cast<CUdevice_attribute>(attribute), device),
        "cudaDeviceGetAttribute");
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* stub) {
  const CUfunction function = FindFunction(stub);
  const auto attribute = [&](CUfunction_attribute name) {
    int value = 0;
    Check(cuFuncGetAttribute(&value, name, function), "cudaFuncGetAttributes");
    return value;
  };
  *attributes = {};
  attributes->maxThreadsPerBlock = attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  attributes->sharedSizeBytes = attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  attributes->numRegs = attribute(CU_FUNC_ATTRIBUTE_NUM_REGS);
  attributes->ptxVersion = attribute(CU_FUNC_ATTRIBUTE_PTX_VERSION);
  attributes->binaryVersion = attribute(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* stub,
                                                                   int block_size,
                                                                   size_t shared_bytes, unsigned) {
  Check(cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, FindFunction(stub), block_size,
                                                    shared_bytes),
        "cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags");
  return cudaSuccess;
}

// TensorFlow sizes its launches by these.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const auto attribute = [&](CUdevice_attribute name) {
    int value = 0;
    Check(cuDeviceGetAttribute(&value, name, device), "cudaGetDeviceProperties");
    return value;
  };
  *properties = {};
  Check(cuDeviceGetName(properties->name, sizeof properties->name, device), "cuDeviceGetName");
  Check(cuDeviceTotalMem(&properties->totalGlobalMem, device), "cuDeviceTotalMem");
  properties->major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  properties->minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  properties->multiProcessorCount = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  properties->warpSize = attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
  properties->maxThreadsPerBlock = attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  properties->maxThreadsPerMultiProcessor =
      attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
  properties->sharedMemPerBlock = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
  properties->regsPerBlock = attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  Check(cuMemcpyAsync(reinterpret_cast<CUdeviceptr>(destination),
                      reinterpret_cast<CUdeviceptr>(source), bytes, stream),
        "cudaMemcpyAsync");
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* destination, int value, size_t bytes, cudaStream_t stream) {
  Check(cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(destination),
                        static_cast<unsigned char>(value), bytes, stream),
        "cudaMemsetAsync");
  return cudaSuccess;
}
