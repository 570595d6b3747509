// Takes all for finite, and names the kernel that looks. See all_finite.h for the contract.

#include "cuda/all_finite/all_finite.h"

#include <string>

namespace tf_mavg {

GpuStatus LaunchAllFinite(Dtypes dtypes, const Lists& lists, bool* all_finite,
                          const LaunchSettings& settings) {
  static_assert(sizeof(bool) == 1, "filled as a byte");
  if (GpuStatus status = EnqueueFill(all_finite, true, sizeof(bool), settings.stream);
      !status.ok()) {
    return status;
  }
  const DtypesFacts& facts = FactsOf(dtypes);
  const std::string kernel = std::string("all_finite_") + facts.variable_dtype;
  return Launch(kernel, lists, facts.variable_bytes, {all_finite}, settings);
}

}  // namespace tf_mavg
