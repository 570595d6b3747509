# add_tensorflow_libraries(PYTHON): the ops and the XLA kernels for the minor version of tensorflow
# that an interpreter has, in a folder of their own beside a file of what they are built with. A
# binary serves one minor: symbols of TensorFlow carry the version of what it is built from.
function(add_tensorflow_libraries python)
  find_tensorflow_wheel(${python})
  set(tensorflow TensorFlow${TensorFlow_MINOR})
  string(REPLACE "." "_" folder "tf_mavg/_tf${TensorFlow_MINOR}")
  set(ops tf_mavg_ops_${TensorFlow_MINOR})
  set(xla tf_mavg_xla_${TensorFlow_MINOR})

  add_library(${ops} MODULE
    cc/kernels/all_finite/all_finite.cc
    cc/kernels/averages_update/averages_update.cc
    cc/kernels/binding/prepared_update.cc
    cc/kernels/binding/binding.cc
    cc/kernels/binding/placement.cc
    cc/kernels/devices/devices.cc
    cc/kernels/lazy_rows/caught_up_rows.cc
    cc/kernels/lazy_rows/huge_pages.cc
    cc/kernels/lazy_rows/lazy_rows.cc
    cc/kernels/moving_average/moving_average.cc
    cc/kernels/split_moving_average/split_moving_average.cc
    cc/kernels/stochastic_average/stochastic_average.cc
    cc/kernels/swap/swap.cc
    cc/kernels/variables/variable_lists.cc
    cc/ops/all_finite_ops.cc
    cc/ops/binding_ops.cc
    cc/ops/lazy_rows_ops.cc
    cc/ops/moving_average_ops.cc
    cc/ops/split_moving_average_ops.cc
    cc/ops/stochastic_average_ops.cc
    cc/ops/swap_ops.cc)
  target_link_libraries(${ops} PRIVATE
    tf_mavg_old_libraries tf_mavg_core ${tensorflow}::framework)
  if(TF_MAVG_GPU)
    target_sources(${ops} PRIVATE
      cc/kernels/all_finite/all_finite_gpu.cc
      cc/kernels/devices/devices_gpu.cc
      cc/kernels/lazy_rows/lazy_rows_gpu.cc
      cc/kernels/moving_average/moving_average_gpu.cc
      cc/kernels/split_moving_average/split_moving_average_gpu.cc
      cc/kernels/stochastic_average/stochastic_average_gpu.cc
      cc/kernels/swap/swap_gpu.cc)
    target_compile_definitions(${ops} PRIVATE TF_MAVG_GPU)
    target_link_libraries(${ops} PRIVATE tf_mavg_gpu)
  endif()
  # Alone in a unity build, too: they have constants of the names of others.
  set_source_files_properties(
    cc/kernels/lazy_rows/caught_up_rows.cc cc/kernels/lazy_rows/huge_pages.cc
    PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  # TensorFlow's variables are guarded by a mutex whose name it deprecates for others.
  target_compile_options(${ops} PRIVATE -Wno-deprecated-declarations)
  if(TF_MAVG_UNITY)
    # GCC 12 then takes the address of a variable's lock for null, where it is not.
    target_compile_options(${ops} PRIVATE -Wno-stringop-overflow)
  endif()
  set(libraries ${ops})

  # A library of its own, so that an installation that cannot load it keeps all other kernels.
  set(without_xla "")
  if(NOT TF_MAVG_XLA)
    set(without_xla "this build has none")
  else()
    add_library(${xla} MODULE
      cc/xla/all_finite_xla.cc cc/xla/averages_xla.cc cc/xla/binding_xla.cc
      cc/xla/moving_average_xla.cc cc/xla/split_moving_average_xla.cc
      cc/xla/stochastic_average_xla.cc cc/xla/swap_xla.cc cc/xla/variable_reader.cc)
    target_include_directories(${xla} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${xla} PRIVATE tf_mavg_old_libraries ${tensorflow}::xla)
    list(APPEND libraries ${xla})
  endif()

  # The wheel lies beside tensorflow in site-packages; the GPU images are a folder up.
  set_target_properties(${libraries} PROPERTIES
    UNITY_BUILD ${TF_MAVG_UNITY}
    UNITY_BUILD_BATCH_SIZE 0  # All: most of the time goes to TensorFlow's headers.
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${folder}
    INSTALL_RPATH "$ORIGIN/..;$ORIGIN/../../tensorflow")
  foreach(library IN LISTS libraries)
    string(REPLACE "_${TensorFlow_MINOR}" "" name ${library})
    set_target_properties(${library} PROPERTIES OUTPUT_NAME ${name})
  endforeach()
  install(TARGETS ${libraries} LIBRARY DESTINATION ${folder})

  set(TF_MAVG_WITHOUT_XLA "${without_xla}")
  set(TF_MAVG_COMPILER "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  configure_file(cmake/build.json.in ${folder}/build.json @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${folder}/build.json DESTINATION ${folder})
endfunction()
