// The GPU's part of the module tf_mavg._native.

#ifndef TF_MAVG_CC_PYTHON_GPU_GPU_BINDINGS_H_
#define TF_MAVG_CC_PYTHON_GPU_GPU_BINDINGS_H_

#include <pybind11/pybind11.h>

namespace tf_mavg {

// Adds what `info` reports about images, driver and devices, and the kernels on NumPy arrays.
void BindGpu(pybind11::module_& module);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_GPU_GPU_BINDINGS_H_
