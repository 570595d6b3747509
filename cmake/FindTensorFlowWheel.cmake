# find_tensorflow_wheel(PYTHON): asks an interpreter's tensorflow for its version, headers, flags and
# libraries. Sets TensorFlow_VERSION, such as 2.21.0, and TensorFlow_MINOR, such as 2.21, and defines
# the imported targets TensorFlow${TensorFlow_MINOR}::framework, for kernels, and
# TensorFlow${TensorFlow_MINOR}::xla, for kernels that XLA compiles.
function(find_tensorflow_wheel python)
  # Importing tensorflow takes seconds, so its answer is kept for the life of the build folder.
  string(MAKE_C_IDENTIFIER "TensorFlow_FACTS_${python}" facts)
  if(NOT DEFINED ${facts})
    execute_process(
      COMMAND ${CMAKE_COMMAND} -E env TF_CPP_MIN_LOG_LEVEL=3 ${python} -c
        "import tensorflow as tf; s = tf.sysconfig; print(tf.__version__, s.get_include(), s.get_lib(), *[f for f in s.get_compile_flags() if f.startswith('-D')], sep=';', end='')"
      OUTPUT_VARIABLE answer
      ERROR_VARIABLE error
      RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
      message(FATAL_ERROR "Building tf_mavg needs tensorflow in ${python}:\n${error}")
    endif()
    set(${facts} "${answer}" CACHE INTERNAL "Version, paths, flags of tensorflow in ${python}")
  endif()

  set(definitions "${${facts}}")
  list(POP_FRONT definitions version include lib)
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" minor "${version}")
  set(TensorFlow_VERSION ${version} PARENT_SCOPE)
  set(TensorFlow_MINOR ${minor} PARENT_SCOPE)
  if(TARGET TensorFlow${minor}::framework)
    message(FATAL_ERROR "Each of TF_MAVG_TENSORFLOW_PYTHONS must have another minor version of "
      "tensorflow. Received: ${TF_MAVG_TENSORFLOW_PYTHONS}, two of them with ${minor}")
  endif()

  if(TF_MAVG_SANITIZE STREQUAL "address")
    # Its library is not compiled so: Abseil's tables would have members here that they lack there.
    # And GCC 12 takes no function's address for a constant where it looks for null.
    list(APPEND definitions -U__SANITIZE_ADDRESS__
      -fno-sanitize=null,nonnull-attribute,returns-nonnull-attribute)
  endif()
  add_library(TensorFlow${minor}::framework SHARED IMPORTED GLOBAL)
  set_target_properties(TensorFlow${minor}::framework PROPERTIES
    IMPORTED_LOCATION "${lib}/libtensorflow_framework.so.2"
    INTERFACE_COMPILE_OPTIONS "${definitions}")
  # As system headers: warnings are asked for in our own files only.
  target_include_directories(TensorFlow${minor}::framework SYSTEM INTERFACE "${include}")

  # Its symbols are in libtensorflow_cc.so.2; its headers need those of two more projects, and 2.19's
  # what its wheel lacks: there declarations in place of it are enough.
  add_library(TensorFlow${minor}::xla SHARED IMPORTED GLOBAL)
  set_target_properties(TensorFlow${minor}::xla PROPERTIES
    IMPORTED_LOCATION "${lib}/libtensorflow_cc.so.2"
    INTERFACE_LINK_LIBRARIES TensorFlow${minor}::framework)
  target_include_directories(TensorFlow${minor}::xla SYSTEM INTERFACE
    "${include}/external/highwayhash"
    "${include}/external/farmhash_archive/src"
    $<$<STREQUAL:${minor},2.19>:${CMAKE_CURRENT_SOURCE_DIR}/cc/xla/absent>)

  message(STATUS "TensorFlow ${version} in ${lib}")
endfunction()
