// A plain loop over the bytes of an update, divided among threads: the benchmarks' limit.
//
// A limit must wait for memory alone. Rounding to half precision takes more instructions than
// memory leaves time for, unless it is done with care, and care is what is measured against the
// limit. So where average and variable are both in half precision, the loop moves the same bytes as
// 16-bit integers, with an average of integers: average -= (average - variable) / 1024, rounded
// down. All others are averaged as the kernels do, but for float16 variables, whose bits are
// read as bfloat16's: that widens by a shift.

#include "cc/python/cpu/plain_loop.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <vector>

#include "cc/core/dtypes.h"
#include "cc/core/formulas/moving_average.h"
#include "cc/core/half.h"
#include "cc/python/arrays/array_lists.h"
#include "cc/python/arrays/on_threads.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

constexpr int kIntegerShift = 10;

float Wide(float value) { return value; }
double Wide(double value) { return value; }
float Wide(Bfloat16 value) { return Widen(value); }

template <typename Average, typename Variable>
void Loop(Average* __restrict average, const Variable* __restrict variable, int64_t begin,
          int64_t end, Average rate) {
  for (int64_t i = begin; i < end; ++i) {
    average[i] = UpdatedAverage(average[i], Wide(variable[i]), rate);
  }
}

void IntegerLoop(int16_t* __restrict average, const int16_t* __restrict variable, int64_t begin,
                 int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const int16_t difference = static_cast<int16_t>(average[i] - variable[i]);
    average[i] = static_cast<int16_t>(average[i] - (difference >> kIntegerShift));
  }
}

template <typename Average, typename Variable>
void LoopOver(void* average, const void* variable, int64_t begin, int64_t end, float rate) {
  if constexpr (sizeof(Average) == 2) {
    IntegerLoop(static_cast<int16_t*>(average), static_cast<const int16_t*>(variable), begin, end);
  } else if constexpr (sizeof(Variable) == 2) {
    Loop(static_cast<Average*>(average), static_cast<const Bfloat16*>(variable), begin, end,
         static_cast<Average>(rate));
  } else {
    Loop(static_cast<Average*>(average), static_cast<const Variable*>(variable), begin, end,
         static_cast<Average>(rate));
  }
}

using LoopFunction = void (*)(void* average, const void* variable, int64_t begin, int64_t end,
                              float rate);

constexpr LoopFunction kLoops[kDtypesCount] = {
#define TF_MAVG_LOOP(name, Average, Variable) LoopOver<Average, Variable>,
    TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_LOOP)
#undef TF_MAVG_LOOP
};

void PlainLoop(ArrayList averages, ArrayList variables, float rate, int threads) {
  const AveragedArrays arrays({std::move(averages)}, std::move(variables), {rate});
  const LoopFunction loop = kLoops[static_cast<int>(arrays.dtypes)];
  const py::gil_scoped_release unlocked;
  OnThreads(threads, [&](int part) {
    for (int i = 0; i < arrays.lists.size(); ++i) {
      const int64_t elements = arrays.lists.elements()[i];
      loop(arrays.lists.buffer(0, i), arrays.lists.buffer(1, i), elements * part / threads,
           elements * (part + 1) / threads, rate);
    }
  });
}

}  // namespace

void BindPlainLoop(py::module_& module) {
  module.def("plain_loop", &PlainLoop, py::arg("averages"), py::arg("variables"), py::arg("rate"),
             py::arg("threads"),
             "A plain loop over the bytes of an update, in place: the benchmarks' limit.\n\n"
             "Averages of half precision move as integers do; all others are updated, float16 "
             "variables as if they were bfloat16.");
}

}  // namespace tf_mavg
