// The CPU's kernels on NumPy arrays, for tests and benchmarks. See cpu_bindings.h.
//
// Arrays are worked on in place; the interpreter lock is released meanwhile, so the caller must
// keep other threads off them.

#include "cc/python/cpu/cpu_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/core/chunk_map.h"
#include "cc/core/chunk_plan.h"
#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/core/cpu/split_moving_average_pass.h"
#include "cc/core/lists.h"
#include "cc/python/arrays/array_lists.h"
#include "cc/python/arrays/on_threads.h"
#include "cc/python/cpu/levels.h"
#include "cc/python/cpu/split_patterns.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

// Runs a pass as the ops do: the plan's chunks, divided among the threads.
template <typename Pass>
void RunOnThreads(const Lists& lists, int64_t chunk_elements, int threads, const Pass& pass) {
  const ChunkPlan plan(lists.elements(), chunk_elements);
  OnThreads(threads, [&](int part) {
    plan.ForEachSpan(plan.chunks() * part / threads, plan.chunks() * (part + 1) / threads, pass);
  });
}

void ApplyMovingAverage(std::vector<ArrayList> averages, ArrayList variables,
                        std::vector<float> rates, const std::string& level, int threads,
                        int64_t chunk_elements) {
  const AveragedArrays arrays(std::move(averages), std::move(variables), std::move(rates));
  const MovingAveragePass pass(KernelsOf(LevelOf(level)), arrays.dtypes, arrays.lists,
                               arrays.rates.data());
  const py::gil_scoped_release unlocked;
  RunOnThreads(arrays.lists, chunk_elements, threads, pass);
}

void ApplySplitMovingAverage(std::vector<ArrayList> averages, std::vector<ArrayList> remainders,
                             ArrayList variables, std::vector<float> rates,
                             const std::string& level, int threads, int64_t chunk_elements) {
  const SplitAveragedArrays arrays(std::move(averages), std::move(remainders), std::move(variables),
                                   std::move(rates));
  const SplitMovingAveragePass pass(KernelsOf(LevelOf(level)), arrays.lists, arrays.rates.data());
  const py::gil_scoped_release unlocked;
  RunOnThreads(arrays.lists, chunk_elements, threads, pass);
}

void ApplyStochasticAverage(std::vector<ArrayList> averages, ArrayList variables,
                            std::vector<float> rates, std::vector<Key> keys,
                            const std::string& level, int threads, int64_t chunk_elements) {
  const StochasticArrays arrays(std::move(averages), std::move(variables), std::move(rates),
                                std::move(keys));
  const StochasticAveragePass pass(KernelsOf(LevelOf(level)), arrays.dtypes, arrays.lists,
                                   arrays.rates.data(), arrays.keys.front().data());
  const py::gil_scoped_release unlocked;
  RunOnThreads(arrays.lists, chunk_elements, threads, pass);
}

int64_t CountSplitFaults(int64_t begin, int64_t end, float variable, float rate,
                         const std::string& level, int threads) {
  if (begin < 0 || begin > end || end > kSplitPatterns) {
    throw py::value_error("Patterns are numbered from 0 to 2^32.");
  }
  const CpuKernels& kernels = KernelsOf(LevelOf(level));
  const py::gil_scoped_release unlocked;
  std::atomic<int64_t> faults(0);
  OnThreads(threads, [&](int part) {
    const int64_t count = end - begin;
    faults += SplitFaults(kernels, begin + count * part / threads,
                          begin + count * (part + 1) / threads, variable, rate);
  });
  return faults;
}

void SwapArrays(ArrayList first, ArrayList second, const std::string& level) {
  const SwappedArrays arrays(std::move(first), std::move(second));
  const SwapPass pass(KernelsOf(LevelOf(level)), arrays.element_bytes, arrays.lists);
  const py::gil_scoped_release unlocked;
  RunOnThreads(arrays.lists, kCpuChunkElements, 1, pass);
}

bool AllFinite(ArrayList variables, const std::string& level, int threads, int64_t chunk_elements) {
  const VariableArrays arrays(std::move(variables));
  std::atomic<bool> all_finite(true);
  const AllFinitePass pass(KernelsOf(LevelOf(level)), arrays.dtypes, arrays.lists, &all_finite);
  const py::gil_scoped_release unlocked;
  RunOnThreads(arrays.lists, chunk_elements, threads, pass);
  return all_finite;
}

std::vector<std::tuple<int, int64_t, int64_t>> ChunkSpans(const std::vector<int64_t>& elements,
                                                          int64_t chunk_elements, int64_t begin,
                                                          int64_t end) {
  const ChunkPlan plan(elements, chunk_elements);
  std::vector<std::tuple<int, int64_t, int64_t>> spans;
  plan.ForEachSpan(begin, std::min(end, plan.chunks()),
                   [&](int position, int64_t offset, int64_t count) {
                     spans.emplace_back(position, offset, count);
                   });
  return spans;
}

int PositionOfChunkIn(const std::vector<int64_t>& first_chunk, int64_t chunk) {
  if (first_chunk.empty() || chunk < 0 || chunk >= first_chunk.back()) {
    throw py::value_error("chunk must be at least 0 and below the last number of first_chunk.");
  }
  return PositionOfChunk(first_chunk.data(), static_cast<int>(first_chunk.size()) - 1, chunk);
}

}  // namespace

void BindCpu(py::module_& module) {
  module.attr("CPU_CHUNK_ELEMENTS") = kCpuChunkElements;
  module.def(
      "chunk_count",
      [](const std::vector<int64_t>& elements, int64_t chunk_elements) {
        return ChunkPlan(elements, chunk_elements).chunks();
      },
      py::arg("elements"), py::arg("chunk_elements"), "Chunks that buffers of these sizes make.");
  module.def("chunk_spans", &ChunkSpans, py::arg("elements"), py::arg("chunk_elements"),
             py::arg("begin"), py::arg("end"),
             "The spans (position, offset, count) that chunks [begin, end) cover, in elements.");
  module.def(
      "position_of_chunk", &PositionOfChunkIn, py::arg("first_chunk"), py::arg("chunk"),
      "The position that a chunk belongs to; first_chunk is the prefix sum of chunk counts.");
  module.def(
      "apply_moving_average", &ApplyMovingAverage, py::arg("averages"), py::arg("variables"),
      py::arg("rates"), py::arg("level"), py::arg("threads") = 1,
      py::arg("chunk_elements") = kCpuChunkElements,
      "average -= (average - variable) * rate, in place: lists of averages, a rate for each.");
  module.def(
      "apply_split_moving_average", &ApplySplitMovingAverage, py::arg("averages"),
      py::arg("remainders"), py::arg("variables"), py::arg("rates"), py::arg("level"),
      py::arg("threads") = 1, py::arg("chunk_elements") = kCpuChunkElements,
      "apply_moving_average() of float32 averages split into bfloat16 and an int16 remainder.");
  module.def("count_split_faults", &CountSplitFaults, py::arg("begin"), py::arg("end"),
             py::arg("variable"), py::arg("rate"), py::arg("level"), py::arg("threads") = 1,
             "How many float32s with bits in [begin, end) do not split, join and update exactly.");
  module.def("apply_stochastic_average", &ApplyStochasticAverage, py::arg("averages"),
             py::arg("variables"), py::arg("rates"), py::arg("keys"), py::arg("level"),
             py::arg("threads") = 1, py::arg("chunk_elements") = kCpuChunkElements,
             "apply_moving_average() with stochastic rounding; a key is seed, update, average.");
  module.def("swap", &SwapArrays, py::arg("first"), py::arg("second"), py::arg("level"),
             "Exchanges the contents of two lists of arrays.");
  module.def("all_finite", &AllFinite, py::arg("variables"), py::arg("level"),
             py::arg("threads") = 1, py::arg("chunk_elements") = kCpuChunkElements,
             "Whether no element of a list of arrays is infinite or NaN.");
}

}  // namespace tf_mavg
