// A plain loop over the bytes of an update, divided among threads: the benchmarks' limit.
//
// A limit must wait for memory alone. Rounding to half precision takes more instructions than
// memory leaves time for, unless it is done with care, and care is what is measured against the
// limit. So where average and variable are both in half precision, the loop moves the same bytes as
// 16-bit integers, with an average of integers: average -= (average - variable) / 1024, rounded
// down. The other pairs are averaged as the kernels do, but for float16 variables, whose bits are
// read as bfloat16's: that widens by a shift.

#include "cc/python/plain_loop.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <vector>

#include "cc/core/average_formula.h"
#include "cc/core/half.h"
#include "cc/python/on_threads.h"
#include "cc/python/pair_arrays.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

constexpr int kIntegerShift = 10;

float Wide(float value) { return value; }
double Wide(double value) { return value; }
float Wide(Bfloat16 value) { return Widen(value); }

template <typename Average, typename Variable>
void Loop(Average* __restrict average, const Variable* __restrict variable, int64_t begin,
          int64_t end, Average one_minus_decay) {
  for (int64_t i = begin; i < end; ++i) {
    average[i] = UpdatedAverage(average[i], Wide(variable[i]), one_minus_decay);
  }
}

void IntegerLoop(int16_t* __restrict average, const int16_t* __restrict variable, int64_t begin,
                 int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const int16_t difference = static_cast<int16_t>(average[i] - variable[i]);
    average[i] = static_cast<int16_t>(average[i] - (difference >> kIntegerShift));
  }
}

void LoopOver(PairType type, const PairOfArrays& pair, int64_t begin, int64_t end, float factor) {
  switch (type) {
    case PairType::kFloat16:
    case PairType::kBfloat16:
      return IntegerLoop(reinterpret_cast<int16_t*>(pair.first),
                         reinterpret_cast<const int16_t*>(pair.second), begin, end);
    case PairType::kFloat32:
      return Loop(reinterpret_cast<float*>(pair.first), reinterpret_cast<const float*>(pair.second),
                  begin, end, factor);
    case PairType::kFloat64:
      return Loop(reinterpret_cast<double*>(pair.first),
                  reinterpret_cast<const double*>(pair.second), begin, end,
                  static_cast<double>(factor));
    case PairType::kFloat16InFloat32:
    case PairType::kBfloat16InFloat32:
      return Loop(reinterpret_cast<float*>(pair.first),
                  reinterpret_cast<const Bfloat16*>(pair.second), begin, end, factor);
  }
}

void PlainLoop(std::vector<py::array> averages, std::vector<py::array> variables, float decay,
               int threads) {
  const std::vector<PairOfArrays> pairs = PairsOf(averages, variables);
  const PairType type = PairTypeOf(averages[0], variables[0]);
  const float one_minus_decay = OneMinusDecay(decay);
  const py::gil_scoped_release unlocked;
  OnThreads(threads, [&](int part) {
    for (const PairOfArrays& pair : pairs) {
      LoopOver(type, pair, pair.elements * part / threads, pair.elements * (part + 1) / threads,
               one_minus_decay);
    }
  });
}

}  // namespace

void BindPlainLoop(py::module_& module) {
  module.def("plain_loop", &PlainLoop, py::arg("averages"), py::arg("variables"), py::arg("decay"),
             py::arg("threads"),
             "A plain loop over the bytes of an update, in place: the benchmarks' limit.\n\n"
             "Averages of half precision move as integers do; all others are updated, float16 "
             "variables as if they were bfloat16.");
}

}  // namespace tf_mavg
