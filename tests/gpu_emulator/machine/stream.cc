#include "machine/stream.h"

#include <map>
#include <utility>
#include <vector>

#include "machine/options.h"

namespace gpu_emulator {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<const void*, std::shared_ptr<Stream>> streams;
  std::map<int, std::shared_ptr<Stream>> legacy;  // by device
  uint64_t next_id = 1;
};

// Never destroyed: the streams' threads may still run while the process exits.
Registry& GetRegistry() {
  static Registry& registry = *new Registry;
  return registry;
}

std::shared_ptr<Stream> LegacyStream(int device) {
  Registry& registry = GetRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  std::shared_ptr<Stream>& stream = registry.legacy[device];
  if (stream == nullptr) stream = std::make_shared<Stream>(device, true, 0, 0);
  return stream;
}

void DrainCreated(int device, bool only_blocking) {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    Registry& registry = GetRegistry();
    std::lock_guard<std::mutex> lock(registry.mutex);
    for (const auto& [handle, stream] : registry.streams) {
      if (stream->device() != device) continue;
      if (stream->blocking() || !only_blocking) streams.push_back(stream);
    }
  }
  for (const auto& stream : streams) stream->Drain();
}

}  // namespace

Stream::Stream(int device, bool blocking, int priority, uint64_t id)
    : device_(device), blocking_(blocking), priority_(priority), id_(id), worker_([this] {
        Run();
      }) {}

Stream::~Stream() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void Stream::Enqueue(std::function<void()> operation) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(operation));
  }
  changed_.notify_all();
}

void Stream::Drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !busy_; });
}

bool Stream::Idle() {
  std::lock_guard<std::mutex> lock(mutex_);
  return queue_.empty() && !busy_;
}

void Stream::Run() {
  const std::chrono::microseconds delay(GetOptions().delay_us);
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> operation = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    operation();
    operation = nullptr;  // what it holds is released before the stream counts as idle
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

void Recording::Finish() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    finished_ = true;
    time_ = std::chrono::steady_clock::now();
  }
  changed_.notify_all();
}

void Recording::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return finished_; });
}

bool Recording::Finished() {
  std::lock_guard<std::mutex> lock(mutex_);
  return finished_;
}

std::shared_ptr<Recording> Event::latest() {
  std::lock_guard<std::mutex> lock(mutex_);
  return latest_;
}

std::shared_ptr<Recording> Event::Record() {
  std::lock_guard<std::mutex> lock(mutex_);
  latest_ = std::make_shared<Recording>();
  return latest_;
}

Stream* CreateStream(int device, bool blocking, int priority) {
  Registry& registry = GetRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  auto stream = std::make_shared<Stream>(device, blocking, priority, registry.next_id++);
  registry.streams[stream.get()] = stream;
  return stream.get();
}

bool DestroyStream(const void* handle) {
  std::shared_ptr<Stream> stream;
  Registry& registry = GetRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  const auto found = registry.streams.find(handle);
  if (found == registry.streams.end()) return false;
  stream = std::move(found->second);
  registry.streams.erase(found);
  return true;
}

std::shared_ptr<Stream> FindStream(const void* handle, int device) {
  if (reinterpret_cast<uint64_t>(handle) <= 1) {
    DrainCreated(device, /*only_blocking=*/true);
    return LegacyStream(device);
  }
  std::shared_ptr<Stream> stream;
  {
    Registry& registry = GetRegistry();
    std::lock_guard<std::mutex> lock(registry.mutex);
    const auto found = registry.streams.find(handle);
    if (found == registry.streams.end()) return nullptr;
    stream = found->second;
  }
  if (stream->blocking()) LegacyStream(stream->device())->Drain();
  return stream;
}

void DrainDevice(int device) {
  DrainCreated(device, /*only_blocking=*/false);
  LegacyStream(device)->Drain();
}

}  // namespace gpu_emulator
