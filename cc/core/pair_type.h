// The pairs of dtypes that an update accepts: what the variable holds, and what its average holds.

#ifndef TF_MAVG_CC_CORE_PAIR_TYPE_H_
#define TF_MAVG_CC_CORE_PAIR_TYPE_H_

#include <cstdint>

namespace tf_mavg {

// Used as an index, so the values are dense. The first four have average and variable alike.
enum class PairType : int {
  kFloat16,
  kBfloat16,
  kFloat32,
  kFloat64,
  kFloat16InFloat32,   // A float16 variable with a float32 average.
  kBfloat16InFloat32,  // A bfloat16 variable with a float32 average.
};

inline constexpr int kPairTypes = 6;

struct PairTypeTraits {
  const char* variable_dtype;
  const char* average_dtype;
  int64_t variable_bytes;  // Bytes an element.
  int64_t average_bytes;
};

inline constexpr PairTypeTraits kPairTypeTraits[kPairTypes] = {
    {"float16", "float16", 2, 2}, {"bfloat16", "bfloat16", 2, 2}, {"float32", "float32", 4, 4},
    {"float64", "float64", 8, 8}, {"float16", "float32", 2, 4},   {"bfloat16", "float32", 2, 4},
};

inline constexpr const PairTypeTraits& TraitsOf(PairType type) {
  return kPairTypeTraits[static_cast<int>(type)];
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_CORE_PAIR_TYPE_H_
