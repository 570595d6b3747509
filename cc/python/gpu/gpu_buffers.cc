// Lists that stay in device memory, streams that can be held, and a clock of the device.
//
// GpuBuffers owns its memory and frees it at the end. Its operations enqueue work on a stream and
// return; the caller orders streams, and keeps buffers until their work is done.

#include "cc/python/gpu/gpu_buffers.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cc/core/dtypes.h"
#include "cc/core/formulas/split.h"
#include "cc/core/lists.h"
#include "cc/python/arrays/array_lists.h"
#include "cc/python/gpu/gpu_context.h"
#include "cuda/driver/driver.h"
#include "cuda/launch/launcher.h"
#include "cuda/moving_average/moving_average.h"
#include "cuda/split_moving_average/split_moving_average.h"
#include "cuda/swap/swap.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

constexpr int64_t kAlignment = 256;   // As an allocator of a framework aligns its buffers.
constexpr unsigned kNonBlocking = 1;  // CU_STREAM_NON_BLOCKING: apart from the default stream.

// A stream of its own. Held, it does nothing more until it is released.
class GpuStream {
 public:
  GpuStream() : driver_(DriverWithContext()) {
    Require(driver_.Check(driver_.stream_create(&stream_, kNonBlocking), "cuStreamCreate"));
  }
  ~GpuStream() {
    Release();
    DriverWithContext();
    driver_.stream_synchronize(stream_);
    driver_.stream_destroy(stream_);
  }
  GpuStream(const GpuStream&) = delete;
  GpuStream& operator=(const GpuStream&) = delete;

  CuStream get() const { return stream_; }

  void Synchronize() const {
    DriverWithContext();
    Require(driver_.Check(driver_.stream_synchronize(stream_), "cuStreamSynchronize"));
  }

  // For at most so long: a launch waits where the driver's queue is full, and must not do so for
  // ever.
  void Hold(double most_seconds) {
    DriverWithContext();
    Release();
    gate_ = std::make_shared<Gate>();
    Require(EnqueueCall([gate = gate_, most_seconds] { gate->Wait(most_seconds); }, stream_));
  }

  void Release() {
    if (gate_ != nullptr) gate_->Open();
    gate_ = nullptr;
  }

 private:
  class Gate {
   public:
    void Wait(double most_seconds) {
      std::unique_lock<std::mutex> lock(mu_);
      opened_.wait_for(lock, std::chrono::duration<double>(most_seconds),
                       [this] { return is_open_; });
    }
    void Open() {
      const std::lock_guard<std::mutex> lock(mu_);
      is_open_ = true;
      opened_.notify_all();
    }

   private:
    std::mutex mu_;
    std::condition_variable opened_;
    bool is_open_ = false;
  };

  const Driver& driver_;
  CuStream stream_ = nullptr;
  std::shared_ptr<Gate> gate_;
};

// A moment on a stream.
class GpuEvent {
 public:
  GpuEvent() : driver_(DriverWithContext()) {
    Require(driver_.Check(driver_.event_create(&event_, 0), "cuEventCreate"));
  }
  ~GpuEvent() { driver_.event_destroy(event_); }
  GpuEvent(const GpuEvent&) = delete;
  GpuEvent& operator=(const GpuEvent&) = delete;

  void Record(const GpuStream& stream) const {
    DriverWithContext();
    Require(driver_.Check(driver_.event_record(event_, stream.get()), "cuEventRecord"));
  }

  // Seconds from an earlier moment to this one; waits for both.
  double SecondsSince(const GpuEvent& begin) const {
    DriverWithContext();
    Require(driver_.Check(driver_.event_synchronize(begin.event_), "cuEventSynchronize"));
    Require(driver_.Check(driver_.event_synchronize(event_), "cuEventSynchronize"));
    float milliseconds = 0;
    Require(driver_.Check(driver_.event_elapsed_time(&milliseconds, begin.event_, event_),
                          "cuEventElapsedTime"));
    return 1e-3 * milliseconds;
  }

 private:
  const Driver& driver_;
  CuEvent event_ = nullptr;
};

// Sides of one length, a buffer a position and side, and the rates of an update.
class GpuBuffers {
 public:
  GpuBuffers(std::vector<int64_t> element_bytes, const std::vector<int64_t>& elements,
             const std::vector<float>& rates)
      : driver_(DriverWithContext()),
        element_bytes_(std::move(element_bytes)),
        lists_(static_cast<int>(element_bytes_.size()), static_cast<int>(elements.size())) {
    for (int i = 0; i < lists_.size(); ++i) lists_.set_elements(i, elements[i]);
    try {
      for (int side = 0; side < lists_.depth(); ++side) Allocate(side);
      const int64_t bytes = rates.size() * sizeof(float);
      rates_ = AllocateBytes(bytes);
      Require(driver_.Check(driver_.copy_to_device(rates_, rates.data(), bytes), "cuMemcpyHtoD"));
    } catch (...) {
      Free();
      throw;
    }
  }
  ~GpuBuffers() { Free(); }
  GpuBuffers(const GpuBuffers&) = delete;
  GpuBuffers& operator=(const GpuBuffers&) = delete;

  void Fill(int side, uint8_t byte) const {
    DriverWithContext();
    const Allocation& allocation = allocations_.at(side);
    Require(driver_.Check(driver_.fill(allocation.begin, byte, allocation.bytes, nullptr),
                          "cuMemsetD8Async"));
    Require(driver_.Check(driver_.context_synchronize(), "cuCtxSynchronize"));
  }

  // Elements of a position from `begin` on become those of the array.
  void Write(int side, int position, int64_t begin, const py::array& array) const {
    const auto [address, bytes] = Window(side, position, begin, array);
    Require(driver_.Check(driver_.copy_to_device(address, array.data(), bytes), "cuMemcpyHtoD"));
  }

  // The array's elements become those of a position from `begin` on.
  void Read(int side, int position, int64_t begin, py::array array) const {
    const auto [address, bytes] = Window(side, position, begin, array);
    Require(
        driver_.Check(driver_.copy_to_host(array.mutable_data(), address, bytes), "cuMemcpyDtoH"));
  }

  void ApplyMovingAverage(const std::string& average, const std::string& variable,
                          const std::string& form, const GpuStream& stream) const {
    DriverWithContext();
    Require(LaunchMovingAverage(FindDtypes(average, variable), lists_, rates(),
                                {stream.get(), FormOf(form)}));
  }

  void ApplySplitMovingAverage(const std::string& form, const GpuStream& stream) const {
    DriverWithContext();
    Require(LaunchSplitMovingAverage(lists_, rates(), {stream.get(), FormOf(form)}));
  }

  void Swap(const std::string& form, const GpuStream& stream) const {
    DriverWithContext();
    Require(LaunchSwap(element_bytes_[0], lists_, {stream.get(), FormOf(form)}));
  }

  // All of one side becomes what another of its size holds, in one copy by the driver.
  void Copy(int to, int from, const GpuStream& stream) const {
    DriverWithContext();
    const Allocation& target = allocations_.at(to);
    if (target.bytes != allocations_.at(from).bytes) {
      throw py::value_error("Only sides of one size are copied.");
    }
    Require(driver_.Check(driver_.copy_on_device(target.begin, allocations_.at(from).begin,
                                                 target.bytes, stream.get()),
                          "cuMemcpyDtoDAsync"));
  }

 private:
  struct Allocation {
    CuDevicePointer begin;
    int64_t bytes;
  };

  const float* rates() const { return reinterpret_cast<const float*>(rates_); }

  void Allocate(int side) {
    const auto bytes_of = [&](int i) {
      return (lists_.elements()[i] * element_bytes_[side] + kAlignment - 1) / kAlignment *
             kAlignment;
    };
    int64_t bytes = kAlignment;
    for (int i = 0; i < lists_.size(); ++i) bytes += bytes_of(i);
    allocations_.push_back({AllocateBytes(bytes), bytes});
    CuDevicePointer next = allocations_.back().begin;
    for (int i = 0; i < lists_.size(); ++i) {
      lists_.set_buffer(side, i, reinterpret_cast<void*>(next));
      next += bytes_of(i);
    }
  }

  CuDevicePointer AllocateBytes(int64_t bytes) const {
    CuDevicePointer begin;
    Require(driver_.Check(driver_.memory_allocate(&begin, bytes), "cuMemAlloc"));
    return begin;
  }

  void Free() {
    DriverWithContext();
    for (const Allocation& allocation : allocations_) driver_.memory_free(allocation.begin);
    if (rates_ != 0) driver_.memory_free(rates_);
  }

  std::pair<CuDevicePointer, int64_t> Window(int side, int position, int64_t begin,
                                             const py::array& array) const {
    DriverWithContext();
    if (side < 0 || side >= lists_.depth() || position < 0 || position >= lists_.size() ||
        begin < 0 || begin + array.size() > lists_.elements()[position] ||
        array.itemsize() != element_bytes_[side] || (array.flags() & py::array::c_style) == 0) {
      throw py::value_error("The array must be contiguous, of the side's dtype, and within it.");
    }
    const auto address = reinterpret_cast<CuDevicePointer>(lists_.buffer(side, position));
    return {address + begin * element_bytes_[side], array.nbytes()};
  }

  const Driver& driver_;
  const std::vector<int64_t> element_bytes_;
  Lists lists_;
  std::vector<Allocation> allocations_;
  CuDevicePointer rates_ = 0;
};

std::pair<int64_t, int64_t> MemoryBytes() {
  const Driver& driver = DriverWithContext();
  size_t free_bytes;
  size_t total_bytes;
  Require(driver.Check(driver.memory_get_info(&free_bytes, &total_bytes), "cuMemGetInfo"));
  return {free_bytes, total_bytes};
}

}  // namespace

void BindGpuBuffers(py::module_& module) {
  const auto unlocked = py::call_guard<py::gil_scoped_release>();
  module.def("gpu_memory", &MemoryBytes, "Bytes of device 0: what is free, and all.");

  py::class_<GpuStream>(module, "GpuStream", "A stream of device 0, apart from the default one.")
      .def(py::init<>())
      .def("synchronize", &GpuStream::Synchronize, unlocked, "Waits for all that was enqueued.")
      .def("hold", &GpuStream::Hold, py::arg("most_seconds"),
           "What is enqueued from now on waits for release(), or for so long.")
      .def("release", &GpuStream::Release, "Lets the stream go on.");

  py::class_<GpuEvent>(module, "GpuEvent", "A moment on a stream.")
      .def(py::init<>())
      .def("record", &GpuEvent::Record, py::arg("stream"), "The moment is when the stream is here.")
      .def("seconds_since", &GpuEvent::SecondsSince, py::arg("begin"), unlocked,
           "Seconds from an earlier moment to this one; waits for both.");

  py::class_<GpuBuffers>(module, "GpuBuffers", "Lists of buffers in the memory of device 0.")
      .def(py::init<std::vector<int64_t>, const std::vector<int64_t>&, const std::vector<float>&>(),
           py::arg("element_bytes"), py::arg("elements"), py::arg("rates"),
           "Sides by the bytes of their elements, positions by their numbers of elements.")
      .def("fill", &GpuBuffers::Fill, py::arg("side"), py::arg("byte"), unlocked)
      .def("write", &GpuBuffers::Write, py::arg("side"), py::arg("position"), py::arg("begin"),
           py::arg("array"), "Elements of a position from `begin` on become those of the array.")
      .def("read", &GpuBuffers::Read, py::arg("side"), py::arg("position"), py::arg("begin"),
           py::arg("array"), "The array takes the elements of a position from `begin` on.")
      .def("apply_moving_average", &GpuBuffers::ApplyMovingAverage, py::arg("average_dtype"),
           py::arg("variable_dtype"), py::arg("form"), py::arg("stream"),
           "Enqueues the update of all sides but the last by the last, each at its rate.")
      .def("apply_split_moving_average", &GpuBuffers::ApplySplitMovingAverage, py::arg("form"),
           py::arg("stream"), "Enqueues the update of averages and remainders by the last side.")
      .def("swap", &GpuBuffers::Swap, py::arg("form"), py::arg("stream"),
           "Enqueues the exchange of two sides.")
      .def("copy", &GpuBuffers::Copy, py::arg("to"), py::arg("from_side"), py::arg("stream"),
           "Enqueues the driver's copy of a whole side into another.");
}

}  // namespace tf_mavg
