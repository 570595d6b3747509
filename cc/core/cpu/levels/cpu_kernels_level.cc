// The CPU kernels of one instruction level. See cpu_kernels.h for the contract.
//
// The build compiles this file once for each level, with that level's flags and with
// TF_MAVG_KERNELS naming the table it defines. Everything else here has internal linkage and no
// template of the standard library is used: a function with a shared name, compiled for AVX-512,
// could be the copy that the linker keeps for every caller.

#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/levels/all_finite_level.h"
#include "cc/core/cpu/levels/moving_average_level.h"
#include "cc/core/cpu/levels/split_moving_average_level.h"
#include "cc/core/cpu/levels/stochastic_average_level.h"
#include "cc/core/cpu/levels/swap_level.h"
#include "cc/core/dtypes.h"

namespace tf_mavg {
namespace {

template <typename Average>
constexpr StochasticAverageFunction kStochasticAverage = nullptr;
#define TF_MAVG_FUNCTION(name, Half)                             \
  template <>                                                    \
  constexpr StochasticAverageFunction kStochasticAverage<Half> = \
      UpdateStretchStochastically<Half>;
TF_MAVG_FOR_EACH_HALF(TF_MAVG_FUNCTION)
#undef TF_MAVG_FUNCTION

}  // namespace

extern const CpuKernels TF_MAVG_KERNELS;
const CpuKernels TF_MAVG_KERNELS = {
    {
#define TF_MAVG_FUNCTION(name, Average, Variable) UpdateStretch<Average, Variable>,
        TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_FUNCTION)
#undef TF_MAVG_FUNCTION
    },
    {
#define TF_MAVG_FUNCTION(name, Average, Variable) kStochasticAverage<Average>,
        TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_FUNCTION)
#undef TF_MAVG_FUNCTION
    },
    SwapStretch,
    {
#define TF_MAVG_FUNCTION(name, Average, Variable) IsStretchFinite<Variable>,
        TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_FUNCTION)
#undef TF_MAVG_FUNCTION
    },
    UpdateSplitStretch,
};

}  // namespace tf_mavg
