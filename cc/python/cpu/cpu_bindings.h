// The CPU's part of the module tf_mavg._native: the chunk plan and the kernels.

#ifndef TF_MAVG_CC_PYTHON_CPU_CPU_BINDINGS_H_
#define TF_MAVG_CC_PYTHON_CPU_CPU_BINDINGS_H_

#include <pybind11/pybind11.h>

namespace tf_mavg {

// Adds the chunk plan, and the kernels of each instruction level on NumPy arrays.
void BindCpu(pybind11::module_& module);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_CPU_CPU_BINDINGS_H_
