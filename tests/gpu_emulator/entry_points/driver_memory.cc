// Entry points: allocation, copies, fills. The order is the stream's; the calls without one use the
// legacy stream and wait for it.

#include <cstddef>
#include <memory>
#include <vector>

#include "entry_points/driver.h"
#include "machine/memory.h"
#include "machine/report.h"

using namespace gpu_emulator;  // NOLINT: the entry points are global

namespace {

CUresult AllocateOn(int device, CUdeviceptr* address, size_t bytes) {
  if (device == kNoDevice) return CUDA_ERROR_INVALID_CONTEXT;
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const auto allocation = Allocate(device, bytes);
  if (allocation == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = allocation->address();
  Record("allocate").Add("bytes", bytes).Add("address", Hex(*address)).Add("device", device);
  return CUDA_SUCCESS;
}

CUresult EnqueueCopy(CopyKind kind, uint64_t destination, uint64_t source, size_t bytes,
                     CUstream handle, bool blocking) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Record("memcpy")
      .Add("kind", Name(kind))
      .Add("bytes", bytes)
      .Add("stream", stream->id())
      .Add("device", stream->device())
      .Add("blocking", blocking);
  const bool from_host = kind == CopyKind::kHostToDevice;
  const auto* host = reinterpret_cast<const std::byte*>(source);
  if (from_host && !blocking && !IsPinned(host)) {
    // Pageable memory is read before the call returns, as CUDA promises; pinned memory when the
    // stream gets there.
    auto staged = std::make_shared<std::vector<std::byte>>(host, host + bytes);
    stream->Enqueue(
        [=] { Copy(kind, destination, reinterpret_cast<uint64_t>(staged->data()), bytes); });
  } else {
    stream->Enqueue([=] { Copy(kind, destination, source, bytes); });
  }
  if (blocking) stream->Drain();
  return CUDA_SUCCESS;
}

CUresult EnqueueFill(CUdeviceptr destination, uint32_t value, size_t value_bytes, size_t count,
                     CUstream handle) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Record("memset")
      .Add("bytes", value_bytes * count)
      .Add("stream", stream->id())
      .Add("device", stream->device());
  stream->Enqueue([=] { Fill(destination, value, value_bytes, count); });
  return CUDA_SUCCESS;
}

uint64_t Number(const void* address) { return reinterpret_cast<uint64_t>(address); }

}  // namespace

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  if (CurrentDevice() == kNoDevice) return CUDA_ERROR_INVALID_CONTEXT;
  *free = FreeBytes(CurrentDevice());
  *total = TotalBytes();
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr* address, size_t bytes) {
  return AllocateOn(CurrentDevice(), address, bytes);
}

CUresult cuMemFree(CUdeviceptr address) {
  const auto allocation = FindAllocation(address);
  if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
  DrainDevice(allocation->device());
  Record("free").Add("address", Hex(address));
  return Free(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  *address = AllocatePinned(bytes);
  return *address == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void* address) {
  if (CurrentDevice() != kNoDevice) DrainDevice(CurrentDevice());
  return FreePinned(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  const auto allocation = FindAllocation(address);
  if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;  // the host's, unknown to CUDA
  if (attribute == CU_POINTER_ATTRIBUTE_MEMORY_TYPE) {
    *static_cast<unsigned*>(value) = CU_MEMORYTYPE_DEVICE;
  } else if (attribute == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) {
    *static_cast<int*>(value) = allocation->device();
  } else {
    Die("cuPointerGetAttribute: attribute " + std::to_string(attribute) + " is not supported");
  }
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD(CUdeviceptr destination, const void* source, size_t bytes) {
  return EnqueueCopy(CopyKind::kHostToDevice, destination, Number(source), bytes, nullptr, true);
}

CUresult cuMemcpyDtoH(void* destination, CUdeviceptr source, size_t bytes) {
  return EnqueueCopy(CopyKind::kDeviceToHost, Number(destination), source, bytes, nullptr, true);
}

CUresult cuMemcpyDtoD(CUdeviceptr destination, CUdeviceptr source, size_t bytes) {
  return EnqueueCopy(CopyKind::kDeviceToDevice, destination, source, bytes, nullptr, true);
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr destination, const void* source, size_t bytes,
                           CUstream stream) {
  return EnqueueCopy(CopyKind::kHostToDevice, destination, Number(source), bytes, stream, false);
}

CUresult cuMemcpyDtoHAsync(void* destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return EnqueueCopy(CopyKind::kDeviceToHost, Number(destination), source, bytes, stream, false);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes,
                           CUstream stream) {
  return EnqueueCopy(CopyKind::kDeviceToDevice, destination, source, bytes, stream, false);
}

CUresult cuMemcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return EnqueueCopy(CopyKind::kUnified, destination, source, bytes, stream, false);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr destination, CUcontext, CUdeviceptr source, CUcontext,
                           size_t bytes, CUstream stream) {
  return EnqueueCopy(CopyKind::kDeviceToDevice, destination, source, bytes, stream, false);
}

CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) {
  return EnqueueFill(address, value, 1, count, stream);
}

CUresult cuMemsetD32Async(CUdeviceptr address, unsigned value, size_t count, CUstream stream) {
  return EnqueueFill(address, value, 4, count, stream);
}

// The stream-ordered allocator, TF_GPU_ALLOCATOR=cuda_malloc_async: an allocation a tensor. Memory
// is given at once and taken back when the stream gets there; a pool is a device's number, plus
// one.

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  *pool = reinterpret_cast<CUmemoryPool>(uint64_t{1} + device);
  return CUDA_SUCCESS;
}

CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  return cuDeviceGetDefaultMemPool(pool, properties->location.id);
}

CUresult cuMemPoolDestroy(CUmemoryPool) { return CUDA_SUCCESS; }
CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; }
CUresult cuMemPoolGetAttribute(CUmemoryPool, CUmemPool_attribute, void* value) {
  *static_cast<cuuint64_t*>(value) = 0;  // a pool keeps nothing in reserve
  return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAccess(CUmemoryPool, const CUmemAccessDesc*, size_t) { return CUDA_SUCCESS; }

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream) {
  return AllocateOn(static_cast<int>(reinterpret_cast<uint64_t>(pool)) - 1, address, bytes);
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream handle) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Record("free").Add("address", Hex(address)).Add("stream", stream->id());
  stream->Enqueue([=] {
    if (!Free(address)) Die("cuMemFreeAsync of " + Hex(address) + ", which is not allocated");
  });
  return CUDA_SUCCESS;
}
