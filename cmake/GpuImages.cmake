# Compiles the GPU kernels for TF_MAVG_CUDA_ARCHITECTURES, with NVRTC from PyPI, when they change.
# Sets GpuImages_SOURCE, a C++ file that embeds the images; without TF_MAVG_GPU, it embeds none.

set(gpu_images_folder ${CMAKE_CURRENT_BINARY_DIR}/gpu_images)
set(GpuImages_SOURCE ${gpu_images_folder}/embedded_images.cc)

set(gpu_images_architectures "")
if(TF_MAVG_GPU)
  set(gpu_images_architectures ${TF_MAVG_CUDA_ARCHITECTURES})
endif()

file(GLOB gpu_images_sources CONFIGURE_DEPENDS
  cuda/*.cu cuda/*.cuh cuda/*.h cuda/nvrtc/* cc/core/*.h)

add_custom_command(
  OUTPUT ${GpuImages_SOURCE}
  COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cuda/compile_kernels.py
    --output ${gpu_images_folder} --architectures ${gpu_images_architectures}
  # NVRTC reads a part of these.
  DEPENDS cuda/compile_kernels.py ${gpu_images_sources}
  COMMENT "Compiling the GPU kernels"
  VERBATIM)
