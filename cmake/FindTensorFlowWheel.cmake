# Asks the interpreter's tensorflow for its version, headers, flags and library.
# Sets TensorFlow_VERSION and defines the imported targets TensorFlow::framework, for kernels, and
# TensorFlow::xla, for kernels that XLA compiles.

# Importing tensorflow takes seconds, so its answer is kept for the life of the build folder.
if(NOT DEFINED TensorFlow_FACTS)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env TF_CPP_MIN_LOG_LEVEL=3 ${Python_EXECUTABLE} -c
      "import tensorflow as tf; s = tf.sysconfig; print(tf.__version__, s.get_include(), s.get_lib(), *[f for f in s.get_compile_flags() if f.startswith('-D')], sep=';', end='')"
    OUTPUT_VARIABLE tensorflow_facts
    ERROR_VARIABLE tensorflow_error
    RESULT_VARIABLE tensorflow_result)
  if(NOT tensorflow_result EQUAL 0)
    message(FATAL_ERROR
      "Building tf_mavg needs tensorflow in ${Python_EXECUTABLE}:\n${tensorflow_error}")
  endif()
  set(TensorFlow_FACTS "${tensorflow_facts}" CACHE INTERNAL "Version, paths, flags of tensorflow")
endif()

list(POP_FRONT TensorFlow_FACTS TensorFlow_VERSION tensorflow_include tensorflow_lib)
set(tensorflow_definitions "${TensorFlow_FACTS}")

add_library(TensorFlow::framework SHARED IMPORTED)
set_target_properties(TensorFlow::framework PROPERTIES
  IMPORTED_LOCATION "${tensorflow_lib}/libtensorflow_framework.so.2"
  INTERFACE_COMPILE_OPTIONS "${tensorflow_definitions}")
# As system headers: warnings are asked for in our own files only.
target_include_directories(TensorFlow::framework SYSTEM INTERFACE "${tensorflow_include}")

# Its symbols are in libtensorflow_cc.so.2; its headers need those of two more projects.
add_library(TensorFlow::xla SHARED IMPORTED)
set_target_properties(TensorFlow::xla PROPERTIES
  IMPORTED_LOCATION "${tensorflow_lib}/libtensorflow_cc.so.2"
  INTERFACE_LINK_LIBRARIES TensorFlow::framework)
target_include_directories(TensorFlow::xla SYSTEM INTERFACE
  "${tensorflow_include}/external/highwayhash"
  "${tensorflow_include}/external/farmhash_archive/src")

message(STATUS "TensorFlow ${TensorFlow_VERSION} in ${tensorflow_lib}")
