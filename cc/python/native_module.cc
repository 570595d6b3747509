// The module tf_mavg._native: what lies below TensorFlow, for tests, benchmarks and `info`.
//
// It links no TensorFlow, so it imports without one and can say which one the ops were built for.
// Arrays are NumPy's and are worked on in place; the interpreter lock is released meanwhile, so the
// caller must keep other threads off them.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "cc/core/average_formula.h"
#include "cc/core/chunk_map.h"
#include "cc/core/chunk_plan.h"
#include "cc/core/cpu_kernels.h"
#include "cc/core/pair_type.h"
#include "cc/python/gpu_bindings.h"
#include "cc/python/on_threads.h"
#include "cc/python/pair_arrays.h"
#include "cc/python/plain_loop.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

CpuLevel LevelOf(const std::string& name) {
  for (int i = 0; i < kCpuLevels; ++i) {
    if (name != kCpuLevelNames[i]) continue;
    if (static_cast<CpuLevel>(i) <= SupportedCpuLevel()) return static_cast<CpuLevel>(i);
    throw py::value_error("This processor has no " + name + ".");
  }
  throw py::value_error("level must be baseline, avx2 or avx512. Received: " + name);
}

// Calls work(pair, offset, count) as the ops do: the plan's chunks, divided among the threads.
template <typename Work>
void ForEachChunk(const std::vector<PairOfArrays>& pairs, int64_t chunk_elements, int threads,
                  const Work& work) {
  std::vector<int64_t> elements;
  for (const PairOfArrays& pair : pairs) elements.push_back(pair.elements);
  const ChunkPlan plan(elements, chunk_elements);
  OnThreads(threads, [&](int part) {
    plan.ForEachSpan(plan.chunks() * part / threads, plan.chunks() * (part + 1) / threads, work);
  });
}

void Update(std::vector<py::array> averages, std::vector<py::array> variables, float decay,
            const std::string& level, int threads, int64_t chunk_elements) {
  const std::vector<PairOfArrays> pairs = PairsOf(averages, variables);
  const PairType type = PairTypeOf(averages[0], variables[0]);
  const PairTypeTraits& traits = TraitsOf(type);
  const UpdateFunction update = KernelsOf(LevelOf(level)).update[static_cast<int>(type)];
  const float one_minus_decay = OneMinusDecay(decay);
  const py::gil_scoped_release unlocked;
  ForEachChunk(pairs, chunk_elements, threads, [&](int pair, int64_t offset, int64_t count) {
    update(pairs[pair].first + offset * traits.average_bytes,
           pairs[pair].second + offset * traits.variable_bytes, count, one_minus_decay);
  });
}

void Swap(std::vector<py::array> first, std::vector<py::array> second, const std::string& level) {
  const std::vector<PairOfArrays> pairs = PairsOf(first, second);
  const int64_t bytes = first[0].itemsize();
  if (second[0].itemsize() != bytes) throw py::type_error("The two lists must have one dtype.");
  const SwapFunction swap = KernelsOf(LevelOf(level)).swap;
  const py::gil_scoped_release unlocked;
  for (const PairOfArrays& pair : pairs) swap(pair.first, pair.second, pair.elements * bytes);
}

std::vector<std::tuple<int, int64_t, int64_t>> ChunkSpans(const std::vector<int64_t>& elements,
                                                          int64_t chunk_elements, int64_t begin,
                                                          int64_t end) {
  const ChunkPlan plan(elements, chunk_elements);
  std::vector<std::tuple<int, int64_t, int64_t>> spans;
  plan.ForEachSpan(
      begin, std::min(end, plan.chunks()),
      [&](int pair, int64_t offset, int64_t count) { spans.emplace_back(pair, offset, count); });
  return spans;
}

int PairOfChunkIn(const std::vector<int64_t>& first_chunk, int64_t chunk) {
  if (first_chunk.empty() || chunk < 0 || chunk >= first_chunk.back()) {
    throw py::value_error("chunk must be at least 0 and below the last number of first_chunk.");
  }
  return PairOfChunk(first_chunk.data(), static_cast<int>(first_chunk.size()) - 1, chunk);
}

py::dict BuildInfo() {
  py::dict info;
  info["version"] = TF_MAVG_VERSION;
  info["tensorflow"] = TF_MAVG_TENSORFLOW_VERSION;
  info["compiler"] = TF_MAVG_COMPILER;
  return info;
}

}  // namespace
}  // namespace tf_mavg

PYBIND11_MODULE(_native, module) {
  using namespace tf_mavg;
  module.doc() =
      "What lies below TensorFlow: build facts, the chunk plan, the CPU and GPU kernels.";

  module.def("build_info", &BuildInfo,
             "Versions of tf_mavg, of the TensorFlow built against, and of the compiler.");
  module.def(
      "supported_cpu_level", [] { return NameOf(SupportedCpuLevel()); },
      "The highest instruction level of this processor: baseline, avx2 or avx512.");
  module.def(
      "active_cpu_level", [] { return NameOf(ActiveCpuLevel()); },
      "The instruction level that the kernels use; TF_MAVG_CPU_LEVEL caps it.");
  module.attr("CPU_CHUNK_ELEMENTS") = kCpuChunkElements;

  module.def(
      "chunk_count",
      [](const std::vector<int64_t>& elements, int64_t chunk_elements) {
        return ChunkPlan(elements, chunk_elements).chunks();
      },
      py::arg("elements"), py::arg("chunk_elements"), "Chunks that pairs of these sizes make.");
  module.def("chunk_spans", &ChunkSpans, py::arg("elements"), py::arg("chunk_elements"),
             py::arg("begin"), py::arg("end"),
             "The spans (pair, offset, count) that chunks [begin, end) cover, in elements.");
  module.def("pair_of_chunk", &PairOfChunkIn, py::arg("first_chunk"), py::arg("chunk"),
             "The pair that a chunk belongs to; first_chunk is the prefix sum of chunk counts.");
  module.def("update", &Update, py::arg("averages"), py::arg("variables"), py::arg("decay"),
             py::arg("level"), py::arg("threads") = 1,
             py::arg("chunk_elements") = kCpuChunkElements,
             "average -= (average - variable) * (1 - decay), in place, for lists of arrays.");
  module.def("swap", &Swap, py::arg("first"), py::arg("second"), py::arg("level"),
             "Exchanges the contents of each pair of arrays.");
  BindPlainLoop(module);
  BindGpu(module);
}
