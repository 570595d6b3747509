// Instruction levels by the names that Python uses.

#ifndef TF_MAVG_CC_PYTHON_CPU_LEVELS_H_
#define TF_MAVG_CC_PYTHON_CPU_LEVELS_H_

#include <pybind11/pybind11.h>

#include <string>

#include "cc/core/cpu/cpu_kernels.h"

namespace tf_mavg {

// Raises ValueError for another name, or a level that this processor does not have.
inline CpuLevel LevelOf(const std::string& name) {
  for (int i = 0; i < kCpuLevels; ++i) {
    if (name != kCpuLevelNames[i]) continue;
    if (static_cast<CpuLevel>(i) <= SupportedCpuLevel()) return static_cast<CpuLevel>(i);
    throw pybind11::value_error("This processor has no " + name + ".");
  }
  throw pybind11::value_error("level must be baseline, avx2 or avx512. Received: " + name);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_CPU_LEVELS_H_
