// Streams and events: each stream is a queue with a worker thread of its own, so that work is as
// asynchronous to the host, and to other streams, as on a GPU.
//
// Order: operations of one stream run one after the other; between streams only events order. The
// legacy default stream of a device (handle 0, 1) and the streams made without
// CU_STREAM_NON_BLOCKING wait for each other, as CUDA defines it; the calling thread does the
// waiting. A stream belongs to the registry from Create to Destroy; a handle that is not in it is
// refused. Locks: the registry's, then a stream's; no operation runs under either.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace gpu_emulator {

class Stream {
 public:
  Stream(int device, bool blocking, int priority, uint64_t id);
  ~Stream();  // runs what is queued first

  void Enqueue(std::function<void()> operation);
  void Drain();
  bool Idle();

  int device() const { return device_; }
  bool blocking() const { return blocking_; }
  int priority() const { return priority_; }
  uint64_t id() const { return id_; }

 private:
  void Run();

  const int device_;
  const bool blocking_;
  const int priority_;
  const uint64_t id_;  // in the log; 0 is a device's legacy stream
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread worker_;
};

// One recording of an event.
class Recording {
 public:
  void Finish();
  void Wait();
  bool Finished();
  std::chrono::steady_clock::time_point time() const { return time_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
  std::chrono::steady_clock::time_point time_;
};

// Holds the latest recording; null before the first.
class Event {
 public:
  std::shared_ptr<Recording> latest();
  std::shared_ptr<Recording> Record();

 private:
  std::mutex mutex_;
  std::shared_ptr<Recording> latest_;
};

Stream* CreateStream(int device, bool blocking, int priority);
// False when the handle is unknown.
bool DestroyStream(const void* handle);
// The stream of a handle, after the waits that the legacy stream's rule asks for; null when the
// handle is unknown. Handles 0 and 1 mean the legacy stream of `device`.
std::shared_ptr<Stream> FindStream(const void* handle, int device);
void DrainDevice(int device);

}  // namespace gpu_emulator
