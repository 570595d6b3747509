# Compiles for aarch64 on another machine, with Debian's compiler and the headers of a Debian in
# build/aarch64/root. `make check-aarch64` makes that folder.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(root ${CMAKE_CURRENT_LIST_DIR}/../build/aarch64/root)
# Python's headers; those of the C library are the compiler's own.
set(CMAKE_CXX_FLAGS_INIT "-idirafter ${root}/usr/include")
set(Python_INCLUDE_DIR ${root}/usr/include/python3.11)
set(PYTHON_MODULE_EXTENSION .cpython-311-aarch64-linux-gnu.so)
