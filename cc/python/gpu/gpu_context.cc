// See gpu_context.h for the contract.

#include "cc/python/gpu/gpu_context.h"

#include <pybind11/pybind11.h>

#include <stdexcept>

namespace tf_mavg {

void Require(const GpuStatus& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

TableForm FormOf(const std::string& name) {
  for (int i = 0; i < kTableForms; ++i) {
    if (name == kTableFormNames[i]) return static_cast<TableForm>(i);
  }
  throw pybind11::value_error("form must be small or large. Received: " + name);
}

const Driver& DriverWithContext() {
  const Driver* driver;
  Require(Driver::Get(&driver));
  static const CuContext context = [driver] {
    CuDevice device;
    CuContext retained;
    Require(driver->Check(driver->device_get(&device, 0), "cuDeviceGet"));
    Require(driver->Check(driver->primary_context_retain(&retained, device),
                          "cuDevicePrimaryCtxRetain"));
    return retained;
  }();
  Require(driver->Check(driver->context_set_current(context), "cuCtxSetCurrent"));
  return *driver;
}

}  // namespace tf_mavg
