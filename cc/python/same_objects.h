// Whether two lists hold the same Python objects, for steps that know a list again.

#ifndef TF_MAVG_CC_PYTHON_SAME_OBJECTS_H_
#define TF_MAVG_CC_PYTHON_SAME_OBJECTS_H_

#include <pybind11/pybind11.h>

#include <cstring>
#include <string>

namespace tf_mavg {

// Whether two lists or tuples hold the same objects in the same order. Compares addresses and looks
// at no element: nothing of a thousand variables is brought from memory, and none of their methods
// is called. Anything but a list or a tuple is an error.
inline bool SameObjects(pybind11::handle first, pybind11::handle second) {
  for (const pybind11::handle items : {first, second}) {
    if (!PyList_Check(items.ptr()) && !PyTuple_Check(items.ptr())) {
      throw pybind11::type_error("same_objects takes two lists or tuples. Received: " +
                                 std::string(Py_TYPE(items.ptr())->tp_name) + ".");
    }
  }
  const Py_ssize_t size = PySequence_Fast_GET_SIZE(first.ptr());
  if (PySequence_Fast_GET_SIZE(second.ptr()) != size) return false;
  return size == 0 ||
         std::memcmp(PySequence_Fast_ITEMS(first.ptr()), PySequence_Fast_ITEMS(second.ptr()),
                     size * sizeof(PyObject*)) == 0;
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_SAME_OBJECTS_H_
