#!/bin/sh
# Runs a command inside an unpacked kit: PREFIX/run COMMAND ARGUMENT...
# The variables are for this command only. Python itself needs none of them; CUDA's libraries, and the
# kernels that TensorFlow compiles while it runs, do.
here=$(cd "$(dirname "$0")" && pwd)
# Several processes share the GPU, so none may take all of its memory.
export TF_FORCE_GPU_ALLOW_GROWTH=true
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"
# What the driver compiles from PTX is worth keeping for the next process.
export CUDA_CACHE_MAXSIZE=4294967296
export PYTHONNOUSERSITE=1
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV
libraries=$here/cuda
for folder in /usr/local/nvidia/lib64 /usr/local/nvidia/lib; do
  if [ -d "$folder" ]; then libraries=$libraries:$folder; fi
done
case "$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null)" in
  *'libstdc++.so.6 '*) ;;
  *) libraries=$libraries:$here/c++ ;;
esac
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
PATH=$here/bin:$PATH
# For ptxas, of any version that knows the GPU.
for folder in /usr/local/cuda/bin /usr/local/cuda-*/bin; do
  if ! command -v ptxas >/dev/null && [ -x "$folder/ptxas" ]; then PATH=$PATH:$folder; fi
done
export PATH
exec "$@"
