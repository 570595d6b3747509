// The module tf_mavg._native: what lies below TensorFlow, for tests, benchmarks and `info`.
//
// It links no TensorFlow, so it imports without one.

#include <pybind11/pybind11.h>

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/python/cpu/cpu_bindings.h"
#include "cc/python/cpu/lazy_rows.h"
#include "cc/python/cpu/levels.h"
#include "cc/python/cpu/plain_loop.h"
#include "cc/python/cpu/random_bindings.h"
#include "cc/python/gpu/gpu_bindings.h"
#include "cc/python/gpu/gpu_buffers.h"
#include "cc/python/gpu/gpu_lazy_rows.h"
#include "cc/python/prepared_call.h"
#include "cc/python/same_objects.h"
#include "cc/python/sure_context.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

py::dict BuildInfo() {
  py::dict info;
  info["version"] = TF_MAVG_VERSION;
  info["compiler"] = TF_MAVG_COMPILER;
  return info;
}

}  // namespace
}  // namespace tf_mavg

PYBIND11_MODULE(_native, module) {
  using namespace tf_mavg;
  module.doc() =
      "What lies below TensorFlow: build facts, the chunk plan, the CPU and GPU kernels.";

  module.def("build_info", &BuildInfo, "Versions of tf_mavg and of the compiler.");
  module.def(
      "supported_cpu_level", [] { return NameOf(SupportedCpuLevel()); },
      "The highest instruction level of this processor: baseline, avx2 or avx512.");
  module.def(
      "active_cpu_level", [] { return NameOf(ActiveCpuLevel()); },
      "The instruction level that the kernels use; TF_MAVG_CPU_LEVEL caps it.");
  module.def("same_objects", &SameObjects, py::arg("first"), py::arg("second"),
             "Whether two lists or tuples hold the same objects in the same order.");
  BindPreparedCall(module);
  BindSureContext(module);
  BindCpu(module);
  BindPlainLoop(module);
  BindLazyRows(module);
  BindRandom(module);
  BindGpu(module);
  BindGpuLazyRows(module);
  BindGpuBuffers(module);
}
