// Chooses the instruction level of the CPU kernels. See cpu_kernels.h for the contract.

#include "cc/core/cpu/cpu_kernels.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tf_mavg {

// Defined by cpu_kernels_level.cc, which is compiled once for each level.
extern const CpuKernels kBaselineKernels;
#if defined(__x86_64__)
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;
#endif

CpuLevel SupportedCpuLevel() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("f16c")) {
    return CpuLevel::kBaseline;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return CpuLevel::kAvx512;
  }
  return CpuLevel::kAvx2;
#else
  return CpuLevel::kBaseline;
#endif
}

CpuLevel ActiveCpuLevel() {
  static const CpuLevel active = [] {
    const CpuLevel supported = SupportedCpuLevel();
    const char* cap = std::getenv("TF_MAVG_CPU_LEVEL");
    if (cap == nullptr || *cap == '\0') return supported;
    for (int level = 0; level < kCpuLevels; ++level) {
      if (std::strcmp(cap, kCpuLevelNames[level]) != 0) continue;
      const CpuLevel named = static_cast<CpuLevel>(level);
      return named < supported ? named : supported;
    }
    std::fprintf(stderr,
                 "tf_mavg: TF_MAVG_CPU_LEVEL must be baseline, avx2 or avx512. Received: %s. "
                 "Using %s.\n",
                 cap, NameOf(supported));
    return supported;
  }();
  return active;
}

const CpuKernels& KernelsOf([[maybe_unused]] CpuLevel level) {
#if defined(__x86_64__)
  if (level == CpuLevel::kAvx512) return kAvx512Kernels;
  if (level == CpuLevel::kAvx2) return kAvx2Kernels;
#endif
  return kBaselineKernels;
}

}  // namespace tf_mavg
