// Calls what an op has prepared, by its addresses: see
// cc/kernels/binding/prepared_update.cc.

#ifndef TF_MAVG_CC_PYTHON_PREPARED_CALL_H_
#define TF_MAVG_CC_PYTHON_PREPARED_CALL_H_

#include <pybind11/pybind11.h>

#include <cstdint>

namespace tf_mavg {

// Owns what is at the first address: frees it by the function at the third one.
class PreparedCall {
 public:
  PreparedCall(int64_t prepared, int64_t run, int64_t free)
      : prepared_(reinterpret_cast<void*>(prepared)),
        run_(reinterpret_cast<bool (*)(void*)>(run)),
        free_(reinterpret_cast<void (*)(void*)>(free)) {}
  ~PreparedCall() { free_(prepared_); }
  PreparedCall(const PreparedCall&) = delete;
  PreparedCall& operator=(const PreparedCall&) = delete;

  bool Run() const { return run_(prepared_); }

 private:
  void* const prepared_;
  bool (*const run_)(void*);
  void (*const free_)(void*);
};

inline void BindPreparedCall(pybind11::module_& module) {
  namespace py = pybind11;
  py::class_<PreparedCall>(module, "PreparedCall", "Something that an op has prepared.")
      .def(py::init<int64_t, int64_t, int64_t>(), py::arg("prepared"), py::arg("run"),
           py::arg("free"),
           "Takes the addresses of what is prepared, and of what runs and frees it.")
      .def("__call__", &PreparedCall::Run, py::call_guard<py::gil_scoped_release>(),
           "Runs it; whether it succeeded.");
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_PREPARED_CALL_H_
