// The benchmarks' limit: what memory allows an update of averages, see plain_loop.cc.

#ifndef TF_MAVG_CC_PYTHON_CPU_PLAIN_LOOP_H_
#define TF_MAVG_CC_PYTHON_CPU_PLAIN_LOOP_H_

#include <pybind11/pybind11.h>

namespace tf_mavg {

// Adds plain_loop to the module.
void BindPlainLoop(pybind11::module_& module);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_CPU_PLAIN_LOOP_H_
