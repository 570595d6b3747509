// What lies below TensorFlow on a GPU, for tests, benchmarks and `info`.
//
// Functions that run kernels use the primary context of device 0 and its default stream. They
// allocate device memory, copy the arrays in, launch, wait and copy them back: for tests, not for
// training. The interpreter lock is released meanwhile, so the caller must keep other threads off
// the arrays.

#include "cc/python/gpu/gpu_bindings.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "cc/core/lists.h"
#include "cc/python/arrays/array_lists.h"
#include "cc/python/gpu/device_arrays.h"
#include "cc/python/gpu/gpu_context.h"
#include "cuda/all_finite/all_finite.h"
#include "cuda/driver/driver.h"
#include "cuda/launch/context_kernels.h"
#include "cuda/launch/images.h"
#include "cuda/launch/launcher.h"
#include "cuda/launch/table_plan.h"
#include "cuda/moving_average/moving_average.h"
#include "cuda/split_moving_average/split_moving_average.h"
#include "cuda/stochastic_average/stochastic_average.h"
#include "cuda/swap/swap.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

// Calls launch(const Lists&, DeviceArrays*) on copies of the arrays on the device, and copies all
// sides back. `offsets`: by side, in bytes; none means 0.
template <typename Launch>
void RunOnDevice(const std::vector<ArrayList>& sides, const Lists& lists,
                 const std::vector<int64_t>& offsets, const Launch& launch) {
  std::vector<int64_t> element_bytes;
  for (const ArrayList& side : sides) element_bytes.push_back(side[0].itemsize());
  const py::gil_scoped_release unlocked;
  const Driver& driver = DriverWithContext();
  DeviceArrays arrays(driver);
  Lists on_device = lists;
  const auto for_each = [&](const auto& visit) {
    for (int side = 0; side < lists.depth(); ++side) {
      for (int i = 0; i < lists.size(); ++i)
        visit(side, i, lists.elements()[i] * element_bytes[side]);
    }
  };
  for_each([&](int side, int i, int64_t bytes) {
    const int64_t offset = offsets.empty() ? 0 : offsets.at(side);
    on_device.set_buffer(side, i, arrays.CopyIn(lists.buffer(side, i), bytes, offset));
  });
  launch(on_device, &arrays);
  Require(driver.Check(driver.context_synchronize(), "cuCtxSynchronize"));
  for_each([&](int side, int i, int64_t bytes) {
    arrays.CopyOut(on_device.buffer(side, i), lists.buffer(side, i), bytes);
  });
}

void GpuApplyMovingAverage(std::vector<ArrayList> averages, ArrayList variables,
                           std::vector<float> rates, const std::string& form,
                           const std::vector<int64_t>& offsets) {
  const AveragedArrays arrays(std::move(averages), std::move(variables), std::move(rates));
  RunOnDevice(arrays.sides, arrays.lists, offsets, [&](const Lists& lists, DeviceArrays* device) {
    const void* device_rates =
        device->CopyIn(arrays.rates.data(), arrays.rates.size() * sizeof(float), 0);
    Require(LaunchMovingAverage(arrays.dtypes, lists, static_cast<const float*>(device_rates),
                                {nullptr, FormOf(form)}));
  });
}

void GpuApplySplitMovingAverage(std::vector<ArrayList> averages, std::vector<ArrayList> remainders,
                                ArrayList variables, std::vector<float> rates,
                                const std::string& form, const std::vector<int64_t>& offsets) {
  const SplitAveragedArrays arrays(std::move(averages), std::move(remainders), std::move(variables),
                                   std::move(rates));
  RunOnDevice(arrays.sides, arrays.lists, offsets, [&](const Lists& lists, DeviceArrays* device) {
    const void* device_rates =
        device->CopyIn(arrays.rates.data(), arrays.rates.size() * sizeof(float), 0);
    Require(LaunchSplitMovingAverage(lists, static_cast<const float*>(device_rates),
                                     {nullptr, FormOf(form)}));
  });
}

void GpuApplyStochasticAverage(std::vector<ArrayList> averages, ArrayList variables,
                               std::vector<float> rates, std::vector<Key> keys,
                               const std::string& form, const std::vector<int64_t>& offsets) {
  const StochasticArrays arrays(std::move(averages), std::move(variables), std::move(rates),
                                std::move(keys));
  RunOnDevice(arrays.sides, arrays.lists, offsets, [&](const Lists& lists, DeviceArrays* device) {
    const void* device_rates =
        device->CopyIn(arrays.rates.data(), arrays.rates.size() * sizeof(float), 0);
    const void* device_keys =
        device->CopyIn(arrays.keys.data(), arrays.keys.size() * sizeof(Key), 0);
    Require(LaunchStochasticAverage(arrays.dtypes, lists, static_cast<const float*>(device_rates),
                                    static_cast<const int64_t*>(device_keys),
                                    {nullptr, FormOf(form)}));
  });
}

void GpuSwap(ArrayList first, ArrayList second, const std::string& form,
             const std::vector<int64_t>& offsets) {
  const SwappedArrays arrays(std::move(first), std::move(second));
  RunOnDevice(arrays.sides, arrays.lists, offsets, [&](const Lists& lists, DeviceArrays*) {
    Require(LaunchSwap(arrays.element_bytes, lists, {nullptr, FormOf(form)}));
  });
}

bool GpuAllFinite(ArrayList variables, const std::string& form,
                  const std::vector<int64_t>& offsets) {
  const VariableArrays arrays(std::move(variables));
  bool all_finite = false;
  RunOnDevice(arrays.sides, arrays.lists, offsets, [&](const Lists& lists, DeviceArrays* device) {
    void* const found = device->CopyIn(&all_finite, sizeof all_finite, 0);
    Require(
        LaunchAllFinite(arrays.dtypes, lists, static_cast<bool*>(found), {nullptr, FormOf(form)}));
    device->CopyOut(found, &all_finite, sizeof all_finite);
  });
  return all_finite;
}

using TableSummary = std::tuple<int, int, int>;

std::vector<TableSummary> GpuTables(const std::vector<int64_t>& elements, int depth,
                                    int64_t element_bytes, const std::string& form) {
  Lists lists(depth, static_cast<int>(elements.size()));
  for (size_t i = 0; i < elements.size(); ++i) lists.set_elements(static_cast<int>(i), elements[i]);
  std::vector<TableSummary> tables;
  Require(WithTableType(depth, FormOf(form), [&](auto type) {
    using Table = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    return ForEachTable<Table>(lists, element_bytes, {}, [&](const Table& table) {
      tables.emplace_back(table.size, TotalChunks(table), table.chunk_elements);
      return GpuStatus();
    });
  }));
  return tables;
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
  module.def("gpu_tables", &GpuTables, py::arg("elements"), py::arg("depth"),
             py::arg("element_bytes"), py::arg("form"),
             "The launches for lists of these sizes: (positions, chunks, chunk_elements) of each.");
  module.def("gpu_apply_moving_average", &GpuApplyMovingAverage, py::arg("averages"),
             py::arg("variables"), py::arg("rates"), py::arg("form"),
             py::arg("offsets") = std::vector<int64_t>(),
             "apply_moving_average() on device 0. Offsets, one a list, shift the arrays' addresses "
             "there, in bytes.");
  module.def("gpu_apply_split_moving_average", &GpuApplySplitMovingAverage, py::arg("averages"),
             py::arg("remainders"), py::arg("variables"), py::arg("rates"), py::arg("form"),
             py::arg("offsets") = std::vector<int64_t>(),
             "apply_split_moving_average() on device 0. Offsets, one a list, shift the arrays' "
             "addresses there, in bytes.");
  module.def("gpu_apply_stochastic_average", &GpuApplyStochasticAverage, py::arg("averages"),
             py::arg("variables"), py::arg("rates"), py::arg("keys"), py::arg("form"),
             py::arg("offsets") = std::vector<int64_t>(),
             "apply_stochastic_average() on device 0; offsets as of gpu_apply_moving_average().");
  module.def(
      "gpu_swap", &GpuSwap, py::arg("first"), py::arg("second"), py::arg("form"),
      py::arg("offsets") = std::vector<int64_t>(),
      "swap() on device 0. Offsets, one a list, shift the arrays' addresses there, in bytes.");
  module.def("gpu_all_finite", &GpuAllFinite, py::arg("variables"), py::arg("form"),
             py::arg("offsets") = std::vector<int64_t>(),
             "all_finite() on device 0. An offset shifts the arrays' addresses there, in bytes.");
}

}  // namespace tf_mavg
