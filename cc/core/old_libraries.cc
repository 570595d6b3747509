// Keeps what is built on a newer Linux loadable beside glibc 2.28 and the C++ library of GCC 8.
//
// What newer headers call and those lack is defined here, by what those have. All is hidden: each
// shared library links its own, and nobody else's symbols change. tests/core/test_old_libraries.py
// reads the symbols of what is installed. A sanitizer must see these calls itself, so there they
// are left alone.

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include <new>

#if defined(__GLIBC__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)

#define TF_MAVG_HIDDEN __attribute__((visibility("hidden")))

extern "C" {

// glibc 2.34 moved these into libc.so.6 under new versions, and keeps the old ones. Before, they
// are in libdl.so.2 and libpthread.so.0, which the link names.
void* OldDlopen(const char* file, int mode);
void* OldDlsym(void* handle, const char* name);
char* OldDlerror();
int OldPthreadOnce(pthread_once_t* once, void (*function)());
// std::exception_ptr's copy and destructor.
void CopyException(void* self, const void* other);
void DestroyException(void* self);
__asm__(
    ".symver OldDlopen, dlopen@GLIBC_2.2.5\n"
    ".symver OldDlsym, dlsym@GLIBC_2.2.5\n"
    ".symver OldDlerror, dlerror@GLIBC_2.2.5\n"
    ".symver OldPthreadOnce, pthread_once@GLIBC_2.2.5\n"
    ".symver CopyException, _ZNSt15__exception_ptr13exception_ptrC1ERKS0_@CXXABI_1.3.3\n"
    ".symver DestroyException, _ZNSt15__exception_ptr13exception_ptrD1Ev@CXXABI_1.3.3");

TF_MAVG_HIDDEN void* dlopen(const char* file, int mode) noexcept { return OldDlopen(file, mode); }

TF_MAVG_HIDDEN void* dlsym(void* handle, const char* name) noexcept {
  return OldDlsym(handle, name);
}

TF_MAVG_HIDDEN char* dlerror() noexcept { return OldDlerror(); }

TF_MAVG_HIDDEN int pthread_once(pthread_once_t* once, void (*function)()) {
  return OldPthreadOnce(once, function);
}

// Of glibc 2.30. As the C++ library did before it: waits until the same time of the other clock,
// which the caller compares with its own when it wakes up.
TF_MAVG_HIDDEN int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                          clockid_t clock, const timespec* until) {
  constexpr long kNanoseconds = 1000000000;
  timespec now, real;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &real);
  real.tv_sec += until->tv_sec - now.tv_sec;
  real.tv_nsec += until->tv_nsec - now.tv_nsec;
  if (real.tv_nsec < 0) {
    real.tv_nsec += kNanoseconds;
    real.tv_sec -= 1;
  } else if (real.tv_nsec >= kNanoseconds) {
    real.tv_nsec -= kNanoseconds;
    real.tv_sec += 1;
  }
  return pthread_cond_timedwait(condition, mutex, &real);
}

// Of glibc 2.32: true would let shared pointers count without atomic instructions.
TF_MAVG_HIDDEN char __libc_single_threaded = 0;

// std::exception_ptr's members of GCC 11. Those that they use are bound by version, for a header
// may define functions of the same names here.
TF_MAVG_HIDDEN void AddReference(void* self) __asm__(
    "_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv");
TF_MAVG_HIDDEN void Release(void* self) __asm__(
    "_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv");

void AddReference(void* self) {
  void* copy;
  CopyException(&copy, self);  // Never destroyed: its reference is the one to add.
}

void Release(void* self) {
  DestroyException(self);
  *static_cast<void**>(self) = nullptr;
}

// std::__throw_bad_array_new_length() of GCC 11.
[[noreturn]] TF_MAVG_HIDDEN void ThrowBadArrayNewLength() __asm__(
    "_ZSt28__throw_bad_array_new_lengthv");

void ThrowBadArrayNewLength() { throw std::bad_array_new_length(); }

}  // extern "C"

#endif  // For the installed libraries.
