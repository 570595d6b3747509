// The dtypes that an average and its variable may have: the one list, which every floor reads.
//
// A new line here makes the CPU kernels of each level, the GPU kernels and their names, what the
// ops and the XLA kernels accept, and what the Python module takes.

#ifndef TF_MAVG_CC_CORE_DTYPES_H_
#define TF_MAVG_CC_CORE_DTYPES_H_

#include <cstdint>

#include "cc/core/half.h"

// X(name, element)
#define TF_MAVG_FOR_EACH_DTYPE(X) \
  X(float16, Float16)             \
  X(bfloat16, Bfloat16)           \
  X(float32, float)               \
  X(float64, double)

// Those of half precision, in which an average can be rounded stochastically.
#define TF_MAVG_FOR_EACH_HALF(X) \
  X(float16, Float16)            \
  X(bfloat16, Bfloat16)

// X(name, element of the average, element of the variable)
#define TF_MAVG_FOR_EACH_DTYPES(X)      \
  X(float16, Float16, Float16)          \
  X(bfloat16, Bfloat16, Bfloat16)       \
  X(float32, float, float)              \
  X(float64, double, double)            \
  X(float16_in_float32, float, Float16) \
  X(bfloat16_in_float32, float, Bfloat16)

namespace tf_mavg {

// An index into the list.
enum class Dtypes : int {
#define TF_MAVG_ENUMERATOR(name, Average, Variable) name,
  TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_ENUMERATOR)
#undef TF_MAVG_ENUMERATOR
};

#if !defined(__CUDACC__)  // The host's facts; a kernel knows its types.
template <typename Element>
inline constexpr const char* kDtypeName = nullptr;
#define TF_MAVG_NAME(name, Element) \
  template <>                       \
  inline constexpr const char* kDtypeName<Element> = #name;
TF_MAVG_FOR_EACH_DTYPE(TF_MAVG_NAME)
#undef TF_MAVG_NAME

struct DtypesFacts {
  const char* name;
  const char* average_dtype;  // As NumPy calls it.
  const char* variable_dtype;
  int64_t average_bytes;  // Bytes an element.
  int64_t variable_bytes;
};

inline constexpr DtypesFacts kDtypes[] = {
#define TF_MAVG_FACTS(name, Average, Variable) \
  {#name, kDtypeName<Average>, kDtypeName<Variable>, sizeof(Average), sizeof(Variable)},
    TF_MAVG_FOR_EACH_DTYPES(TF_MAVG_FACTS)
#undef TF_MAVG_FACTS
};

inline constexpr int kDtypesCount = sizeof(kDtypes) / sizeof(kDtypes[0]);

inline constexpr const DtypesFacts& FactsOf(Dtypes dtypes) {
  return kDtypes[static_cast<int>(dtypes)];
}

// Whether an average is of half precision, so that there is a choice of roundings.
inline constexpr bool CanRoundStochastically(Dtypes dtypes) {
  return FactsOf(dtypes).average_bytes == 2;
}
#endif

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_DTYPES_H_
