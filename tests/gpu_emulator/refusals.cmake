# Writes OUTPUT, which defines every CUDA entry point that TensorFlow may look up and whose name
# matches PATTERN: weakly, so that one that the emulator has takes its place, and dying when called.
#
#   cmake -DNM=nm -DTENSORFLOW_LIBRARY=... -DPATTERN=cu[A-Z] -DOUTPUT=x.cc -P refusals.cmake

execute_process(
  COMMAND ${NM} -D --defined-only ${TENSORFLOW_LIBRARY}
  OUTPUT_VARIABLE symbols
  COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[tTwW] ${PATTERN}[A-Za-z0-9_]*\n" names "${symbols}")
if(NOT names)
  message(FATAL_ERROR "${TENSORFLOW_LIBRARY} has no symbol that matches ${PATTERN}")
endif()

set(source "#include \"machine/report.h\"\n\n")
foreach(name IN LISTS names)
  string(REGEX REPLACE "^. |\n" "" name "${name}")
  string(APPEND source
    "extern \"C\" __attribute__((weak)) int ${name}() {\n"
    "  gpu_emulator::Die(\"the entry point ${name} is not implemented\");\n}\n")
endforeach()
file(WRITE ${OUTPUT} "${source}")
