// See huge_pages.h for the contract.

#include "cc/kernels/lazy_rows/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>

namespace tf_mavg {
namespace {

constexpr uintptr_t kHugePageBytes = 2 << 20;  // Of x86-64, and of most others.
constexpr uintptr_t kFewestPages = 2;          // The processor remembers fewer as they are.
constexpr int kCollapse = 25;                  // MADV_COLLAPSE of Linux 6.1.
// A step waits for so much, some seconds at worst.
constexpr uintptr_t kMostBytesNow = 1 << 30;
// Places are forgotten when there are so many: programs that make ever new buffers keep no list.
constexpr size_t kMostPlaces = 4096;

// Whether a buffer was not met before at its place.
bool IsNew(uintptr_t begin, uintptr_t end) {
  static std::mutex* const mutex = new std::mutex;
  static auto* const places = new std::set<std::pair<uintptr_t, uintptr_t>>;
  const std::lock_guard<std::mutex> lock(*mutex);
  if (places->size() >= kMostPlaces) places->clear();
  return places->emplace(begin, end).second;
}

}  // namespace

void UseHugePages(const void* buffer, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(buffer);
  // What of the buffer is whole pages; the memory around it is others'.
  const uintptr_t begin = (address + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  const uintptr_t end = (address + bytes) / kHugePageBytes * kHugePageBytes;
  if (end < begin + kFewestPages * kHugePageBytes || !IsNew(begin, end)) return;
  auto* const pages = reinterpret_cast<void*>(begin);
  // The system makes them huge by and by; with the second call now, if it knows that.
  if (madvise(pages, end - begin, MADV_HUGEPAGE) != 0) return;
  madvise(pages, std::min(end - begin, kMostBytesNow), kCollapse);
}

}  // namespace tf_mavg
