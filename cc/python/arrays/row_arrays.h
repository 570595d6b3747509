// NumPy arrays as a table of rows: an average and its variable of one shape, the int64 counters of
// the rows, and the float64 clock.

#ifndef TF_MAVG_CC_PYTHON_ARRAYS_ROW_ARRAYS_H_
#define TF_MAVG_CC_PYTHON_ARRAYS_ROW_ARRAYS_H_

#include <pybind11/numpy.h>

#include <cstdint>

#include "cc/core/dtypes.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cc/python/arrays/array_lists.h"

namespace tf_mavg {

// Checked, so that a pass can rely on it. The arrays keep owning their memory.
struct RowArrays {
  RowArrays(pybind11::array average, pybind11::array variable, pybind11::array seen,
            pybind11::array clock)
      : dtypes(FindDtypes(DtypeName(average), DtypeName(variable))) {
    for (const pybind11::array& array : {average, variable, seen, clock}) {
      if ((array.flags() & pybind11::array::c_style) == 0 || array.ndim() == 0) {
        throw pybind11::value_error("Arrays must be contiguous, of one dimension or more.");
      }
    }
    if (DtypeName(seen) != "int64" || DtypeName(clock) != "float64") {
      throw pybind11::type_error("Counters must be int64, and a clock float64.");
    }
    const int64_t rows = variable.shape(0);
    if (average.size() != variable.size() || seen.size() != rows ||
        clock.size() < ClockElements(1)) {
      throw pybind11::value_error(
          "Arrays must have the rows of the variable, and a clock its header.");
    }
    const int64_t row_elements = rows == 0 ? 0 : variable.size() / rows;
    table = {average.mutable_data(),
             variable.data(),
             static_cast<int64_t*>(seen.mutable_data()),
             static_cast<double*>(clock.mutable_data()),
             clock.size(),
             rows,
             row_elements};
  }

  Dtypes dtypes;
  RowTable table;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_ARRAYS_ROW_ARRAYS_H_
