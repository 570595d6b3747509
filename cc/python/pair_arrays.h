// Pairs of NumPy arrays as the kernels take them: contiguous, of one dtype a side.

#ifndef TF_MAVG_CC_PYTHON_PAIR_ARRAYS_H_
#define TF_MAVG_CC_PYTHON_PAIR_ARRAYS_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cc/core/pair_type.h"

namespace tf_mavg {

struct PairOfArrays {
  char* first;
  char* second;
  int64_t elements;
};

inline std::string DtypeName(const pybind11::array& array) { return pybind11::str(array.dtype()); }

// NumPy has one object for each of its own dtypes, so names are rarely made and compared.
inline bool SameDtype(const pybind11::array& a, const pybind11::array& b) {
  return a.dtype().is(b.dtype()) || DtypeName(a) == DtypeName(b);
}

inline PairType PairTypeOf(const pybind11::array& average, const pybind11::array& variable) {
  for (int i = 0; i < kPairTypes; ++i) {
    if (DtypeName(average) == kPairTypeTraits[i].average_dtype &&
        DtypeName(variable) == kPairTypeTraits[i].variable_dtype) {
      return static_cast<PairType>(i);
    }
  }
  throw pybind11::type_error("No kernel averages " + DtypeName(variable) + " in " +
                             DtypeName(average) + ".");
}

// Checked, so that a kernel below can rely on it. The arrays keep owning their memory.
inline std::vector<PairOfArrays> PairsOf(std::vector<pybind11::array>& first,
                                         std::vector<pybind11::array>& second) {
  if (first.size() != second.size() || first.empty()) {
    throw pybind11::value_error("The two lists must have one length, at least 1.");
  }
  std::vector<PairOfArrays> pairs;
  for (size_t i = 0; i < first.size(); ++i) {
    const bool alike = first[i].size() == second[i].size() && SameDtype(first[i], first[0]) &&
                       SameDtype(second[i], second[0]);
    const bool contiguous = (first[i].flags() & second[i].flags() & pybind11::array::c_style) ==
                            pybind11::array::c_style;
    if (!alike || !contiguous) {
      throw pybind11::value_error(
          "Arrays must be contiguous, of one dtype a list and one size a pair.");
    }
    pairs.push_back({static_cast<char*>(first[i].mutable_data()),
                     static_cast<char*>(second[i].mutable_data()), first[i].size()});
  }
  return pairs;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_PAIR_ARRAYS_H_
