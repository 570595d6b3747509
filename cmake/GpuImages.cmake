# Compiles the GPU kernels for TF_MAVG_CUDA_ARCHITECTURES, with NVRTC, when they change; or takes the
# images of the folder TF_MAVG_GPU_IMAGES, which an earlier build has made.
# Sets GpuImages_SOURCE, a C++ file that embeds the images; without TF_MAVG_GPU, it embeds none.

set(TF_MAVG_GPU_IMAGES "" CACHE STRING "A folder of compiled images to embed, instead of compiling")
if(TF_MAVG_GPU_IMAGES)
  cmake_path(ABSOLUTE_PATH TF_MAVG_GPU_IMAGES)
endif()

set(gpu_images_folder ${CMAKE_CURRENT_BINARY_DIR}/gpu_images)
set(GpuImages_SOURCE ${gpu_images_folder}/embedded_images.cc)

set(gpu_images_arguments --architectures)
if(TF_MAVG_GPU AND TF_MAVG_GPU_IMAGES)
  set(gpu_images_arguments --images ${TF_MAVG_GPU_IMAGES})
elseif(TF_MAVG_GPU)
  set(gpu_images_arguments --architectures ${TF_MAVG_CUDA_ARCHITECTURES})
endif()

# All that NVRTC reads.
file(GLOB gpu_images_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}
  cuda/*.cu cuda/*/*.cuh cuda/*/*.h cuda/nvrtc/* cc/core/*.h cc/core/formulas/*.h)

add_custom_command(
  OUTPUT ${GpuImages_SOURCE}
  COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cuda/compile_kernels.py
    --output ${gpu_images_folder} ${gpu_images_arguments}
  DEPENDS cuda/compile_kernels.py ${gpu_images_sources}
  COMMENT "Compiling the GPU kernels"
  VERBATIM)
