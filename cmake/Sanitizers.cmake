# TF_MAVG_SANITIZE builds all that follows for a sanitizer of the compiler's:
#   address   AddressSanitizer and UndefinedBehaviorSanitizer
#   thread    ThreadSanitizer
# A process must load the sanitizer's library before all others: a program of this build does, and
# Python does where LD_PRELOAD names the library. tests/sanitizers runs both.

set(TF_MAVG_SANITIZE "" CACHE STRING "A sanitizer to build for: address, thread, or none")
set_property(CACHE TF_MAVG_SANITIZE PROPERTY STRINGS "" address thread)

if(TF_MAVG_SANITIZE STREQUAL "address")
  # Neither is a base's type asked for: classes of one library do not have theirs in another; nor
  # whether an enumeration has a name for its value: a driver may have errors that its header lacks.
  set(sanitizers -fsanitize=address,undefined -fno-sanitize=vptr,enum
    -fno-sanitize-recover=undefined)
elseif(TF_MAVG_SANITIZE STREQUAL "thread")
  set(sanitizers -fsanitize=thread)
elseif(TF_MAVG_SANITIZE)
  message(FATAL_ERROR "TF_MAVG_SANITIZE must be address, thread or empty. "
    "Received: ${TF_MAVG_SANITIZE}")
endif()
if(TF_MAVG_SANITIZE)
  # -O1 stands behind other levels and so counts: reports name lines, and the build takes less time.
  add_compile_options(${sanitizers} -g1 -O1 -fno-omit-frame-pointer)
  add_link_options(${sanitizers})
endif()
