// A context manager whose end no exception of a signal handler can prevent.

#ifndef TF_MAVG_CC_PYTHON_SURE_CONTEXT_H_
#define TF_MAVG_CC_PYTHON_SURE_CONTEXT_H_

#include <pybind11/pybind11.h>

#include <optional>
#include <utility>

namespace tf_mavg {

// Calls enter() at its begin, and at its end leave(error), with what its body raised or None.
//
// The interpreter calls handlers of signals as a Python function begins, so an `__exit__` in Python
// may end before its first line. These two are no Python functions: what interrupts leave() is
// caught, leave() is called again, and raised is what interrupted it first. So is leave() called
// where enter() raises. It must do nothing where nothing is left to do.
class SureContext {
 public:
  SureContext(pybind11::function enter, pybind11::function leave)
      : enter_(std::move(enter)), leave_(std::move(leave)) {}

  void Enter() const {
    try {
      enter_();
    } catch (const pybind11::error_already_set& error) {
      Leave(error.value());
      throw;
    }
  }

  void Exit(const pybind11::object&, const pybind11::object& error, const pybind11::object&) const {
    if (const std::optional<pybind11::error_already_set> raised = Leave(error)) throw *raised;
  }

 private:
  // So many interrupts in turn it bears, less one; what fails for good fails as often.
  static constexpr int kCalls = 5;

  std::optional<pybind11::error_already_set> Leave(const pybind11::object& error) const {
    std::optional<pybind11::error_already_set> first;
    for (int call = 0; call < kCalls; ++call) {
      try {
        leave_(error);
        break;
      } catch (const pybind11::error_already_set& raised) {
        if (!first) first = raised;
      }
    }
    return first;
  }

  pybind11::function enter_;
  pybind11::function leave_;
};

inline void BindSureContext(pybind11::module_& module) {
  namespace py = pybind11;
  py::class_<SureContext>(module, "SureContext",
                          "A context manager whose end no exception of a signal can prevent.")
      .def(py::init<py::function, py::function>(), py::arg("enter"), py::arg("leave"))
      .def("__enter__", &SureContext::Enter)
      .def("__exit__", &SureContext::Exit);
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_SURE_CONTEXT_H_
