# Finds pybind11, in the interpreter's packages too: only scikit-build-core looks there by itself.

if(NOT DEFINED pybind11_DIR)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -m pybind11 --cmakedir
    OUTPUT_VARIABLE pybind11_folder
    OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET)
  if(pybind11_folder)
    set(pybind11_DIR ${pybind11_folder} CACHE PATH "Where pybind11Config.cmake is")
  endif()
endif()
find_package(pybind11 CONFIG REQUIRED)
