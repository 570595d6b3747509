// Lazy rows on a GPU without TensorFlow. See gpu_lazy_rows.h.
//
// As gpu_bindings.cc has it: arrays are copied to device 0, worked on and copied back. A table is a
// tuple of average, variable, counters and clock; the tables of a call are of one pair of dtypes.

#include "cc/python/gpu/gpu_lazy_rows.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "cc/python/arrays/array_lists.h"
#include "cc/python/arrays/row_arrays.h"
#include "cc/python/gpu/device_arrays.h"
#include "cuda/lazy_rows/lazy_rows.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

using TableArrays = std::tuple<py::array, py::array, py::array, py::array>;
// Bytes by which the addresses of average, variable and indices are shifted on the device.
using Offsets = std::array<int64_t, 3>;

// Tables on the device for the time of a call.
class DeviceTables {
 public:
  DeviceTables(const std::vector<TableArrays>& tables, const Offsets& offsets)
      : driver_(DriverWithContext()), arrays_(driver_) {
    if (tables.empty()) throw py::value_error("There must be a table.");
    for (const auto& [average, variable, seen, clock] : tables) {
      const RowArrays host(average, variable, seen, clock);
      if (!hosts_.empty() && host.dtypes != dtypes_) {
        throw py::type_error("Tables must be of one pair of dtypes.");
      }
      dtypes_ = host.dtypes;
      hosts_.push_back(host.table);
      RowTable on_device = host.table;
      on_device.average = arrays_.CopyIn(average.data(), average.nbytes(), offsets[0]);
      on_device.variable = arrays_.CopyIn(variable.data(), variable.nbytes(), offsets[1]);
      on_device.seen = static_cast<int64_t*>(arrays_.CopyIn(seen.data(), seen.nbytes(), 0));
      on_device.clock = static_cast<double*>(arrays_.CopyIn(clock.data(), clock.nbytes(), 0));
      on_device_.push_back(on_device);
    }
  }

  Dtypes dtypes() const { return dtypes_; }
  const std::vector<RowTable>& tables() const { return on_device_; }
  DeviceArrays* arrays() { return &arrays_; }

  // Waits for the device, and copies back what it may have written.
  void CopyOut() {
    Require(driver_.Check(driver_.context_synchronize(), "cuCtxSynchronize"));
    for (size_t i = 0; i < hosts_.size(); ++i) {
      const RowTable& host = hosts_[i];
      const RowTable& device = on_device_[i];
      const int64_t elements = host.rows * host.row_elements;
      arrays_.CopyOut(device.average, host.average, elements * FactsOf(dtypes_).average_bytes);
      arrays_.CopyOut(device.seen, host.seen, host.rows * sizeof(int64_t));
      arrays_.CopyOut(device.clock, host.clock, host.clock_elements * sizeof(double));
    }
  }

 private:
  const Driver& driver_;
  DeviceArrays arrays_;
  Dtypes dtypes_{};
  std::vector<RowTable> hosts_;
  std::vector<RowTable> on_device_;
};

void GpuCatchUpRows(const std::vector<TableArrays>& tables, const ArrayList& indices,
                    const Offsets& offsets) {
  if (indices.size() != tables.size()) throw py::value_error("There must be a list a table.");
  DeviceTables on_device(tables, offsets);
  std::vector<RowList> lists;
  for (const py::array& of_table : indices) {
    const std::string dtype = DtypeName(of_table);
    if (dtype != "int32" && dtype != "int64") {
      throw py::type_error("Indices must be int32 or int64.");
    }
    lists.push_back({on_device.arrays()->CopyIn(of_table.data(), of_table.nbytes(), offsets[2]),
                     of_table.size(), static_cast<int>(of_table.itemsize())});
  }
  Require(LaunchCatchUpRows(on_device.dtypes(), on_device.tables(), lists, {}));
  on_device.CopyOut();
}

void GpuCatchUpAllRows(const std::vector<TableArrays>& tables, const Offsets& offsets) {
  DeviceTables on_device(tables, offsets);
  Require(LaunchCatchUpAllRows(on_device.dtypes(), on_device.tables(), {}));
  on_device.CopyOut();
}

void GpuAdvanceRowClocks(const std::vector<TableArrays>& tables, float rate,
                         const Offsets& offsets) {
  DeviceTables on_device(tables, offsets);
  const void* const device_rate = on_device.arrays()->CopyIn(&rate, sizeof rate, 0);
  Require(LaunchAdvanceRowClocks(on_device.dtypes(), on_device.tables(),
                                 static_cast<const float*>(device_rate), {}));
  on_device.CopyOut();
}

}  // namespace

void BindGpuLazyRows(py::module_& module) {
  module.def("gpu_catch_up_rows", &GpuCatchUpRows, py::arg("tables"), py::arg("indices"),
             py::arg("offsets") = Offsets{},
             "catch_up_rows() of tables (average, variable, seen, clock) on device 0, where an "
             "index of no row is passed over. Offsets shift the addresses of averages, variables "
             "and indices there, in bytes.");
  module.def("gpu_catch_up_all_rows", &GpuCatchUpAllRows, py::arg("tables"),
             py::arg("offsets") = Offsets{}, "catch_up_all_rows() of tables on device 0.");
  module.def("gpu_advance_row_clocks", &GpuAdvanceRowClocks, py::arg("tables"), py::arg("rate"),
             py::arg("offsets") = Offsets{},
             "Notes a step in the clocks of tables on device 0; rows of full ones catch up.");
}

}  // namespace tf_mavg
