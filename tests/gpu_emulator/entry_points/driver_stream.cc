// Entry points: streams, events, host functions.

#include <chrono>

#include "entry_points/driver.h"
#include "machine/report.h"

using namespace gpu_emulator;  // NOLINT: the entry points are global

namespace {

Event* FromHandle(CUevent event) { return reinterpret_cast<Event*>(event); }

}  // namespace

CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
  if (CurrentDevice() == kNoDevice) return CUDA_ERROR_INVALID_CONTEXT;
  const bool blocking = (flags & CU_STREAM_NON_BLOCKING) == 0;
  *stream = reinterpret_cast<CUstream>(CreateStream(CurrentDevice(), blocking, priority));
  return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  return cuStreamCreateWithPriority(stream, flags, 0);
}

CUresult cuStreamDestroy(CUstream stream) {
  return DestroyStream(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuStreamSynchronize(CUstream handle) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Record("synchronize")
      .Add("what", "stream")
      .Add("stream", stream->id())
      .Add("device", stream->device());
  stream->Drain();
  return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream handle) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return stream->Idle() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuStreamGetPriority(CUstream handle, int* priority) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  *priority = stream->priority();
  return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream, CUstreamCaptureStatus* status) {
  *status = CU_STREAM_CAPTURE_STATUS_NONE;
  return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Record("event_wait").Add("stream", stream->id()).Add("device", stream->device());
  if (const auto recording = FromHandle(event)->latest()) {
    stream->Enqueue([recording] { recording->Wait(); });
  }
  return CUDA_SUCCESS;
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Record("host_function").Add("stream", stream->id()).Add("device", stream->device());
  stream->Enqueue([=] { function(data); });
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  *event = reinterpret_cast<CUevent>(new Event);
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event) {
  delete FromHandle(event);
  return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream handle) {
  const auto stream = UseStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Record("event_record").Add("stream", stream->id()).Add("device", stream->device());
  const auto recording = FromHandle(event)->Record();
  stream->Enqueue([recording] { recording->Finish(); });
  return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event) {
  const auto recording = FromHandle(event)->latest();
  return recording == nullptr || recording->Finished() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuEventSynchronize(CUevent event) {
  Record("synchronize").Add("what", "event");
  if (const auto recording = FromHandle(event)->latest()) recording->Wait();
  return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  const auto first = FromHandle(start)->latest();
  const auto last = FromHandle(end)->latest();
  if (first == nullptr || last == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (!first->Finished() || !last->Finished()) return CUDA_ERROR_NOT_READY;
  *milliseconds = std::chrono::duration<float, std::milli>(last->time() - first->time()).count();
  return CUDA_SUCCESS;
}
