// The random bits of stochastic rounding and what they do to one number, for tests.

#ifndef TF_MAVG_CC_PYTHON_CPU_RANDOM_BINDINGS_H_
#define TF_MAVG_CC_PYTHON_CPU_RANDOM_BINDINGS_H_

#include <pybind11/pybind11.h>

namespace tf_mavg {

// Adds random_bits and round_stochastically to the module.
void BindRandom(pybind11::module_& module);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_CPU_RANDOM_BINDINGS_H_
