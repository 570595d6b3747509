"""The emulated GPU of the tests: see CMakeLists.txt for how it is built."""
