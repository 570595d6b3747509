// Uses what cc/core/old_libraries.cc defines, and is linked with it: prints a line for each that is
// as it should be.

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

namespace {

struct Counted {
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  ~Counted() { --alive; }
  static int alive;
};
int Counted::alive = 0;

void Report(const char* name, bool right) { std::printf("%s %d\n", name, right); }

int runs = 0;

long Milliseconds(const timespec& from, const timespec& to) {
  return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

// Waits in vain until the monotonic clock's now and some milliseconds; whether that is when it
// ends.
bool Waits(long milliseconds) {
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  timespec begin, until, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  until = begin;
  until.tv_sec += milliseconds / 1000;
  until.tv_nsec += milliseconds % 1000 * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    ++until.tv_sec;
  }
  if (until.tv_nsec < 0) {
    until.tv_nsec += 1000000000;
    --until.tv_sec;
  }
  pthread_mutex_lock(&mutex);
  const int result = pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until);
  pthread_mutex_unlock(&mutex);
  clock_gettime(CLOCK_MONOTONIC, &end);
  return result == ETIMEDOUT && Milliseconds(until, end) >= -1;
}

}  // namespace

int main() {
  {
    std::exception_ptr first;
    try {
      throw Counted();
    } catch (...) {
      first = std::current_exception();
    }
    {
      const std::exception_ptr copy = first;
      first = nullptr;
      Report("copied exceptions live on", Counted::alive == 1 && copy != nullptr);
    }
    Report("the last copy frees the exception", Counted::alive == 0);
  }
  try {
    volatile long elements = -1;
    delete[] new int[elements];
    Report("a negative length is refused", false);
  } catch (const std::bad_array_new_length&) {
    Report("a negative length is refused", true);
  }
  pthread_once_t once = PTHREAD_ONCE_INIT;
  for (int i = 0; i < 2; ++i) pthread_once(&once, [] { ++runs; });
  Report("once is once", runs == 1);
  Report("an absent library is told",
         dlopen("libof_nobody.so.0", RTLD_NOW) == nullptr &&
             std::string(dlerror()).find("libof_nobody.so.0") != std::string::npos);
  void* library = dlopen("libc.so.6", RTLD_NOW);
  Report("a symbol is found", library != nullptr && dlsym(library, "strlen") != nullptr);
  bool waited = true;
  for (const long milliseconds : {-1500, -1, 0, 1, 30, 999}) waited = waited && Waits(milliseconds);
  Report("a wait ends at its time", waited);
}
