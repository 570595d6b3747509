// Lazy rows below TensorFlow. See lazy_rows.h.
//
// Arrays are worked on in place: an average and its variable of one shape, the int64 counters of
// the rows, and the float64 clock.

#include "cc/python/cpu/lazy_rows.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/lazy_rows_pass.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cc/python/arrays/on_threads.h"
#include "cc/python/arrays/row_arrays.h"
#include "cc/python/cpu/levels.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

template <typename Pass>
void RunRows(int64_t rows, int threads, const Pass& pass) {
  const py::gil_scoped_release unlocked;
  OnThreads(threads, [&](int part) { pass(rows * part / threads, rows * (part + 1) / threads); });
}

template <typename Index>
void CatchUp(const RowArrays& arrays, const py::array& indices, const std::string& level,
             int threads) {
  const auto* const rows = static_cast<const Index*>(indices.data());
  const int64_t wrong = FirstWrongIndex(rows, indices.size(), arrays.table.rows);
  if (wrong < indices.size()) {
    throw py::index_error("There is no row " + std::to_string(rows[wrong]) + ".");
  }
  RunRows(indices.size(), threads,
          CatchUpRowsPass<Index>(KernelsOf(LevelOf(level)), arrays.dtypes, arrays.table, rows));
}

void CatchUpRows(py::array average, py::array variable, py::array seen, py::array clock,
                 py::array indices, const std::string& level, int threads) {
  const RowArrays arrays(average, variable, seen, clock);
  const std::string dtype = DtypeName(indices);
  if (dtype == "int32") return CatchUp<int32_t>(arrays, indices, level, threads);
  if (dtype == "int64") return CatchUp<int64_t>(arrays, indices, level, threads);
  throw py::type_error("Indices must be int32 or int64.");
}

void CatchUpAllRows(py::array average, py::array variable, py::array seen, py::array clock,
                    const std::string& level, int threads) {
  const RowArrays arrays(average, variable, seen, clock);
  RunRows(arrays.table.rows, threads,
          CatchUpAllRowsPass(KernelsOf(LevelOf(level)), arrays.dtypes, arrays.table));
  RestartClock(arrays.table.clock);
}

bool AdvanceRowClock(py::array clock, float rate) {
  auto* const of_clock = static_cast<double*>(clock.mutable_data());
  if (IsClockFull(of_clock, clock.size())) return false;
  AdvanceClock(of_clock, rate);
  return true;
}

}  // namespace

void BindLazyRows(py::module_& module) {
  module.def(
      "row_clock", [](int64_t capacity) { return py::array_t<double>(ClockElements(capacity)); },
      py::arg("capacity"), "Uninitialised room for a clock of so many steps; zeros start it.");
  module.def("one_minus_exp", &OneMinusExp, py::arg("x"), "1 - exp(x), for x of at most 0.");
  module.def("log_of_decay", &LogOfDecay, py::arg("rate"), "log(1 - rate), for a rate in (0, 1).");
  module.def("catch_up_rows", &CatchUpRows, py::arg("average"), py::arg("variable"),
             py::arg("seen"), py::arg("clock"), py::arg("indices"), py::arg("level"),
             py::arg("threads") = 1,
             "Has the rows of the indices see all steps of the clock, in place.");
  module.def("catch_up_all_rows", &CatchUpAllRows, py::arg("average"), py::arg("variable"),
             py::arg("seen"), py::arg("clock"), py::arg("level"), py::arg("threads") = 1,
             "Has all rows see all steps of the clock, and starts it anew.");
  module.def("advance_row_clock", &AdvanceRowClock, py::arg("clock"), py::arg("rate"),
             "Notes a step of a rate in a clock; whether there was room for it.");
}

}  // namespace tf_mavg
