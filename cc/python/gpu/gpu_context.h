// The device that the Python module works on: the primary context of device 0.

#ifndef TF_MAVG_CC_PYTHON_GPU_GPU_CONTEXT_H_
#define TF_MAVG_CC_PYTHON_GPU_GPU_CONTEXT_H_

#include <string>

#include "cuda/driver/driver.h"
#include "cuda/driver/gpu_status.h"
#include "cuda/launch/images.h"

namespace tf_mavg {

// Throws what the status says, unless it is good.
void Require(const GpuStatus& status);

// The form of table with this name; throws for any other.
TableForm FormOf(const std::string& name);

// The driver, with the primary context of device 0 current to this thread. The context is kept
// until the program ends.
const Driver& DriverWithContext();

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_GPU_GPU_CONTEXT_H_
