# Compiles the GPU kernels for TF_MAVG_CUDA_ARCHITECTURES, with NVRTC from PyPI, when they change.
# Sets GpuImages_SOURCE, a C++ file that embeds the images; without TF_MAVG_GPU, it embeds none.

set(gpu_images_folder ${CMAKE_CURRENT_BINARY_DIR}/gpu_images)
set(GpuImages_SOURCE ${gpu_images_folder}/embedded_images.cc)

set(gpu_images_architectures "")
if(TF_MAVG_GPU)
  set(gpu_images_architectures ${TF_MAVG_CUDA_ARCHITECTURES})
endif()

add_custom_command(
  OUTPUT ${GpuImages_SOURCE}
  COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cuda/compile_kernels.py
    --output ${gpu_images_folder} --architectures ${gpu_images_architectures}
  # All that NVRTC reads.
  DEPENDS
    cuda/all_finite.cuh
    cuda/compile_kernels.py
    cuda/kernels.cu
    cuda/moving_average.cuh
    cuda/nvrtc/cstdint
    cuda/swap.cuh
    cuda/table.h
    cuda/walker.cuh
    cc/core/all_finite.h
    cc/core/chunk_map.h
    cc/core/dtypes.h
    cc/core/half.h
    cc/core/moving_average.h
    cc/core/portability.h
  COMMENT "Compiling the GPU kernels"
  VERBATIM)
