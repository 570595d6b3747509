// Buffers, streams and clocks of device 0, for checks and measurements of the GPU kernels.

#ifndef TF_MAVG_CC_PYTHON_GPU_GPU_BUFFERS_H_
#define TF_MAVG_CC_PYTHON_GPU_GPU_BUFFERS_H_

#include <pybind11/pybind11.h>

namespace tf_mavg {

void BindGpuBuffers(pybind11::module_& module);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_GPU_GPU_BUFFERS_H_
