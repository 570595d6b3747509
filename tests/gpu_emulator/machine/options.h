// The emulated machine's options, read once from environment variables TF_MAVG_EMULATOR_<NAME>.
//
// Read on first use, immutable after: no locks. A value that cannot be read is a fatal error, not a
// default, so that a test never runs on another machine than it asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace gpu_emulator {

struct Options {
  std::string log;                         // LOG: path of the JSON lines; empty: no log
  int64_t delay_us = 0;                    // DELAY_US: sleep before every stream operation
  std::optional<uint32_t> shuffle;         // SHUFFLE: seed of the block order; unset: ascending
  int compute_capability = 90;             // COMPUTE_CAPABILITY: "9.0"
  int64_t memory_mb = 4096;                // MEMORY_MB: of each device
  int driver_version = 12090;              // DRIVER_VERSION: what cuDriverGetVersion returns
  int devices = 1;                         // DEVICES
  int multiprocessors = 108;               // MULTIPROCESSORS: 108 is an A100's
  std::optional<int> maximum_ptx_version;  // MAXIMUM_PTX_VERSION: "8.5"; newer PTX is refused
  std::string ptx;                         // PTX: path of what every module is loaded from instead
  std::string refused_kernel;              // REFUSE: "KERNEL=719"; that kernel's launches return it
  int refusal = 0;

  // A launch takes 4,096 bytes of parameters; 32,764 since CUDA 12.1 on compute capability 7.0.
  uint32_t parameter_limit() const {
    return driver_version >= 12010 && compute_capability >= 70 ? 32764 : 4096;
  }
};

const Options& GetOptions();

}  // namespace gpu_emulator
