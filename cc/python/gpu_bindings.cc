// What lies below TensorFlow on a GPU, for tests, benchmarks and `info`.
//
// Functions that run kernels use the primary context of device 0 and its default stream. They
// allocate device memory, copy the arrays in, launch, wait and copy them back: for tests, not for
// training. The interpreter lock is released meanwhile, so the caller must keep other threads off
// the arrays.

#include "cc/python/gpu_bindings.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "cc/core/pair_buffers.h"
#include "cc/core/pair_type.h"
#include "cc/python/pair_arrays.h"
#include "cuda/context_kernels.h"
#include "cuda/driver.h"
#include "cuda/images.h"
#include "cuda/launcher.h"
#include "cuda/pair_table.h"
#include "cuda/table_plan.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

void Require(const GpuStatus& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

TableForm FormOf(const std::string& name) {
  for (int i = 0; i < kTableForms; ++i) {
    if (name == kTableFormNames[i]) return static_cast<TableForm>(i);
  }
  throw py::value_error("form must be small or large. Received: " + name);
}

// The driver, with the primary context of device 0 current to this thread. The context is kept
// until the program ends.
const Driver& DriverWithContext() {
  const Driver* driver;
  Require(Driver::Get(&driver));
  static const CuContext context = [driver] {
    CuDevice device;
    CuContext retained;
    Require(driver->Check(driver->device_get(&device, 0), "cuDeviceGet"));
    Require(driver->Check(driver->primary_context_retain(&retained, device),
                          "cuDevicePrimaryCtxRetain"));
    return retained;
  }();
  Require(driver->Check(driver->context_set_current(context), "cuCtxSetCurrent"));
  return *driver;
}

// Copies of one side's arrays in device memory, each `offset` bytes behind the address that the
// driver gave, which is a multiple of 256.
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

struct SideBytes {
  int64_t element_bytes;
  std::vector<int64_t> offsets;  // By pair; none means 0.

  int64_t offset(size_t pair) const { return offsets.empty() ? 0 : offsets.at(pair); }
};

// Calls launch(const std::vector<PairBuffers>&, DeviceArrays*) on copies of the arrays on the
// device, and copies both sides back.
template <typename Launch>
void RunOnDevice(const std::vector<PairOfArrays>& pairs, const SideBytes& first,
                 const SideBytes& second, const Launch& launch) {
  const py::gil_scoped_release unlocked;
  const Driver& driver = DriverWithContext();
  DeviceArrays arrays(driver);
  std::vector<PairBuffers> buffers;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const int64_t elements = pairs[i].elements;
    buffers.push_back(
        {arrays.CopyIn(pairs[i].first, elements * first.element_bytes, first.offset(i)),
         arrays.CopyIn(pairs[i].second, elements * second.element_bytes, second.offset(i)),
         elements});
  }
  launch(buffers, &arrays);
  Require(driver.Check(driver.context_synchronize(), "cuCtxSynchronize"));
  for (size_t i = 0; i < pairs.size(); ++i) {
    const int64_t elements = pairs[i].elements;
    arrays.CopyOut(buffers[i].first, pairs[i].first, elements * first.element_bytes);
    arrays.CopyOut(buffers[i].second, pairs[i].second, elements * second.element_bytes);
  }
}

void GpuUpdate(std::vector<py::array> averages, std::vector<py::array> variables, float decay,
               const std::string& form, const std::vector<int64_t>& average_offsets,
               const std::vector<int64_t>& variable_offsets) {
  const std::vector<PairOfArrays> pairs = PairsOf(averages, variables);
  const PairType type = PairTypeOf(averages[0], variables[0]);
  const PairTypeTraits& traits = TraitsOf(type);
  RunOnDevice(pairs, {traits.average_bytes, average_offsets},
              {traits.variable_bytes, variable_offsets},
              [&](const std::vector<PairBuffers>& buffers, DeviceArrays* arrays) {
                const void* device_decay = arrays->CopyIn(&decay, sizeof decay, 0);
                Require(LaunchUpdate(type, buffers, static_cast<const float*>(device_decay),
                                     {nullptr, FormOf(form)}));
              });
}

void GpuSwap(std::vector<py::array> first, std::vector<py::array> second, const std::string& form,
             const std::vector<int64_t>& first_offsets,
             const std::vector<int64_t>& second_offsets) {
  const std::vector<PairOfArrays> pairs = PairsOf(first, second);
  const int64_t bytes = first[0].itemsize();
  if (second[0].itemsize() != bytes) throw py::type_error("The two lists must have one dtype.");
  RunOnDevice(pairs, {bytes, first_offsets}, {bytes, second_offsets},
              [&](const std::vector<PairBuffers>& buffers, DeviceArrays*) {
                Require(LaunchSwap(bytes, buffers, {nullptr, FormOf(form)}));
              });
}

using TableSummary = std::tuple<int, int, int>;

template <typename Table>
std::vector<TableSummary> SummarizeTables(const std::vector<int64_t>& elements,
                                          int64_t first_bytes) {
  std::vector<PairBuffers> pairs;
  for (const int64_t count : elements) pairs.push_back({nullptr, nullptr, count});
  std::vector<TableSummary> tables;
  Require(ForEachTable<Table>(pairs, first_bytes, nullptr, [&](const Table& table) {
    tables.emplace_back(table.pairs, TotalChunks(table), table.chunk_elements);
    return GpuStatus();
  }));
  return tables;
}

std::vector<TableSummary> GpuTables(const std::vector<int64_t>& elements, int64_t first_bytes,
                                    const std::string& form) {
  return FormOf(form) == TableForm::kLarge ? SummarizeTables<LargePairTable>(elements, first_bytes)
                                           : SummarizeTables<SmallPairTable>(elements, first_bytes);
}

py::list GpuImages() {
  py::list images;
  for (const GpuImage& image : EmbeddedImages()) {
    py::dict entry;
    entry["architecture"] = image.architecture;
    entry["kind"] = kImageKindNames[static_cast<int>(image.kind)];
    entry["form"] = kTableFormNames[static_cast<int>(image.form)];
    entry["data"] = py::bytes(image.data, image.bytes);
    images.append(std::move(entry));
  }
  return images;
}

// The position in GpuImages() of the image that a device would load, or None.
py::object GpuImageFor(int compute_capability, const std::string& form, bool force_ptx) {
  const std::vector<GpuImage>& images = EmbeddedImages();
  const GpuImage* image = ChooseImage(images, FormOf(form), compute_capability, force_ptx);
  if (image == nullptr) return py::none();
  return py::int_(image - images.data());
}

py::dict DescribeDevice(const Driver& driver, int ordinal) {
  CuDevice device;
  char name[256] = "";
  DeviceFacts facts{};
  Require(driver.Check(driver.device_get(&device, ordinal), "cuDeviceGet"));
  Require(driver.Check(driver.device_get_name(name, sizeof name, device), "cuDeviceGetName"));
  Require(ReadDeviceFacts(driver, device, &facts));
  const TableForm form = LargestTableForm(driver.version, facts.compute_capability);
  py::dict entry;
  entry["name"] = std::string(name);
  entry["compute_capability"] = facts.compute_capability;
  entry["multiprocessors"] = facts.multiprocessors;
  entry["form"] = kTableFormNames[static_cast<int>(form)];
  return entry;
}

py::dict GpuDriver() {
  py::dict facts;
  const Driver* driver;
  const GpuStatus status = Driver::Get(&driver);
  facts["error"] = status.message();
  facts["version"] = status.ok() ? driver->version : 0;
  py::list devices;
  if (status.ok()) {
    int count = 0;
    Require(driver->Check(driver->device_get_count(&count), "cuDeviceGetCount"));
    for (int i = 0; i < count; ++i) devices.append(DescribeDevice(*driver, i));
  }
  facts["devices"] = devices;
  return facts;
}

}  // namespace

void BindGpu(py::module_& module) {
  module.attr("GPU_CHUNK_BYTES") = kGpuChunkBytes;
  module.def("gpu_images", &GpuImages,
             "The compiled kernels inside: architecture (90 is 9.0), kind, form and data of each.");
  module.def("gpu_image_for", &GpuImageFor, py::arg("compute_capability"), py::arg("form"),
             py::arg("force_ptx") = false,
             "Which of gpu_images() a device loads, or None; TF_MAVG_FORCE_PTX forces PTX.");
  module.def(
      "gpu_form",
      [](int driver_version, int compute_capability) {
        return kTableFormNames[static_cast<int>(
            LargestTableForm(driver_version, compute_capability))];
      },
      py::arg("driver_version"), py::arg("compute_capability"),
      "The form of table that the ops use with that driver and device: small or large.");
  module.def("gpu_driver", &GpuDriver,
             "The CUDA driver: version (12090 is 12.9, 0 if there is none), error and devices.");
  module.def("gpu_tables", &GpuTables, py::arg("elements"), py::arg("first_bytes"), py::arg("form"),
             "The launches for pairs of these sizes: (pairs, chunks, chunk_elements) of each.");
  module.def("gpu_update", &GpuUpdate, py::arg("averages"), py::arg("variables"), py::arg("decay"),
             py::arg("form"), py::arg("average_offsets") = std::vector<int64_t>(),
             py::arg("variable_offsets") = std::vector<int64_t>(),
             "update() on device 0. Offsets shift the arrays' addresses there, in bytes.");
  module.def("gpu_swap", &GpuSwap, py::arg("first"), py::arg("second"), py::arg("form"),
             py::arg("first_offsets") = std::vector<int64_t>(),
             py::arg("second_offsets") = std::vector<int64_t>(),
             "swap() on device 0. Offsets shift the arrays' addresses there, in bytes.");
}

}  // namespace tf_mavg
