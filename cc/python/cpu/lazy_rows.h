// Lazy rows below TensorFlow, for tests and benchmarks: the part of tf_mavg._native that has them.

#ifndef TF_MAVG_CC_PYTHON_CPU_LAZY_ROWS_H_
#define TF_MAVG_CC_PYTHON_CPU_LAZY_ROWS_H_

#include <pybind11/pybind11.h>

namespace tf_mavg {

void BindLazyRows(pybind11::module_& module);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_CPU_LAZY_ROWS_H_
