// Lists of NumPy arrays as the kernels take them: contiguous, of one dtype a list.

#ifndef TF_MAVG_CC_PYTHON_ARRAYS_ARRAY_LISTS_H_
#define TF_MAVG_CC_PYTHON_ARRAYS_ARRAY_LISTS_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cc/core/dtypes.h"
#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/random_bits.h"
#include "cc/core/formulas/split.h"
#include "cc/core/lists.h"

namespace tf_mavg {

using ArrayList = std::vector<pybind11::array>;
// Of one average: seed, number of the update, index of the average.
using Key = std::array<int64_t, kKeyNumbers>;

inline std::string DtypeName(const pybind11::array& array) { return pybind11::str(array.dtype()); }

// NumPy has one object for each of its own dtypes, so names are rarely made and compared.
inline bool SameDtype(const pybind11::array& a, const pybind11::array& b) {
  return a.dtype().is(b.dtype()) || DtypeName(a) == DtypeName(b);
}

// Checked, so that a kernel below can rely on it. The arrays keep owning their memory.
inline Lists ListsOf(std::vector<ArrayList>& sides) {
  const size_t size = sides.back().size();
  Lists lists(static_cast<int>(sides.size()), static_cast<int>(size));
  for (size_t side = 0; side < sides.size(); ++side) {
    ArrayList& arrays = sides[side];
    if (arrays.size() != size || arrays.empty()) {
      throw pybind11::value_error("All lists must have one length, at least 1.");
    }
    for (size_t i = 0; i < size; ++i) {
      const bool fits = arrays[i].size() == sides.back()[i].size() &&
                        SameDtype(arrays[i], arrays[0]) &&
                        (arrays[i].flags() & pybind11::array::c_style) != 0;
      if (!fits) {
        throw pybind11::value_error(
            "Arrays must be contiguous, of one dtype a list and one size a position.");
      }
      lists.set_buffer(static_cast<int>(side), static_cast<int>(i), arrays[i].mutable_data());
      lists.set_elements(static_cast<int>(i), arrays[i].size());
    }
  }
  return lists;
}

inline Dtypes FindDtypes(const std::string& average, const std::string& variable) {
  for (int i = 0; i < kDtypesCount; ++i) {
    if (average == kDtypes[i].average_dtype && variable == kDtypes[i].variable_dtype) {
      return static_cast<Dtypes>(i);
    }
  }
  throw pybind11::type_error("No kernel averages " + variable + " in " + average + ".");
}

// One or more lists of averages, and their variables.
struct AveragedArrays {
  AveragedArrays(std::vector<ArrayList> averages, ArrayList variables, std::vector<float> rates)
      : sides(std::move(averages)), rates(std::move(rates)) {
    const size_t averages_a_variable = sides.size();
    if (averages_a_variable < 1 || averages_a_variable > kMostAverages ||
        this->rates.size() != averages_a_variable) {
      throw pybind11::value_error("There must be 1 to " + std::to_string(kMostAverages) +
                                  " lists of averages, and a rate for each.");
    }
    sides.push_back(std::move(variables));
    lists = ListsOf(sides);
    for (size_t i = 0; i < averages_a_variable; ++i) {
      if (!SameDtype(sides[i][0], sides[0][0])) {
        throw pybind11::value_error("All averages must have one dtype.");
      }
    }
    dtypes = FindDtypes(DtypeName(sides[0][0]), DtypeName(sides.back()[0]));
  }

  std::vector<ArrayList> sides;  // The variables are the last.
  std::vector<float> rates;
  Lists lists{0, 0};
  Dtypes dtypes;
};

// The same, in half precision, with a key for each list of averages.
struct StochasticArrays : AveragedArrays {
  StochasticArrays(std::vector<ArrayList> averages, ArrayList variables, std::vector<float> rates,
                   std::vector<Key> keys)
      : AveragedArrays(std::move(averages), std::move(variables), std::move(rates)),
        keys(std::move(keys)) {
    if (!CanRoundStochastically(dtypes)) {
      throw pybind11::type_error("Only averages in half precision are rounded stochastically.");
    }
    if (this->keys.size() != this->rates.size()) {
      throw pybind11::value_error("There must be a key for each list of averages.");
    }
  }

  std::vector<Key> keys;
};

// One or more lists of split averages, and their variables.
struct SplitAveragedArrays {
  SplitAveragedArrays(std::vector<ArrayList> averages, std::vector<ArrayList> remainders,
                      ArrayList variables, std::vector<float> rates)
      : sides(std::move(averages)), rates(std::move(rates)) {
    const size_t averages_a_variable = sides.size();
    if (averages_a_variable < 1 || averages_a_variable > kMostSplitAverages ||
        remainders.size() != averages_a_variable || this->rates.size() != averages_a_variable) {
      throw pybind11::value_error("There must be 1 to " + std::to_string(kMostSplitAverages) +
                                  " lists of averages, a list of remainders and a rate for each.");
    }
    for (ArrayList& arrays : remainders) sides.push_back(std::move(arrays));
    sides.push_back(std::move(variables));
    lists = ListsOf(sides);
    for (size_t side = 0; side < sides.size(); ++side) {
      const bool holds_remainders = side / averages_a_variable == 1;
      if (DtypeName(sides[side][0]) != (holds_remainders ? "int16" : "bfloat16")) {
        throw pybind11::type_error("Split averages and variables must be bfloat16, remainders " +
                                   std::string("int16."));
      }
    }
  }

  std::vector<ArrayList> sides;  // Averages, remainders, variables.
  std::vector<float> rates;
  Lists lists{0, 0};
};

// Two lists that a swap takes, and the bytes of their elements.
struct SwappedArrays {
  SwappedArrays(ArrayList first, ArrayList second)
      : sides{std::move(first), std::move(second)},
        lists(ListsOf(sides)),
        element_bytes(sides[0][0].itemsize()) {
    if (sides[1][0].itemsize() != element_bytes) {
      throw pybind11::type_error("The two lists must have one dtype.");
    }
  }

  std::vector<ArrayList> sides;
  Lists lists;
  int64_t element_bytes;
};

// One list of variables.
struct VariableArrays {
  explicit VariableArrays(ArrayList variables)
      : sides{std::move(variables)}, lists(ListsOf(sides)) {
    const std::string dtype = DtypeName(sides[0][0]);
    dtypes = FindDtypes(dtype, dtype);
  }

  std::vector<ArrayList> sides;
  Lists lists;
  Dtypes dtypes;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_ARRAYS_ARRAY_LISTS_H_
