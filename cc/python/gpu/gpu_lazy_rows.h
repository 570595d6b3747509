// The rows' part of the module tf_mavg._native on a GPU.

#ifndef TF_MAVG_CC_PYTHON_GPU_GPU_LAZY_ROWS_H_
#define TF_MAVG_CC_PYTHON_GPU_GPU_LAZY_ROWS_H_

#include <pybind11/pybind11.h>

namespace tf_mavg {

// Adds the kernels on rows of NumPy arrays.
void BindGpuLazyRows(pybind11::module_& module);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_GPU_GPU_LAZY_ROWS_H_
