#include "machine/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "machine/options.h"
#include "machine/report.h"

namespace gpu_emulator {
namespace {

constexpr uint64_t kPage = 4096;
// Fresh memory holds this pattern, as f32 about -2.7e7, so that a value read before it was written
// shows. Larger allocations stay lazily mapped zeros: an allocator's whole pool would become real.
constexpr int kFreshByte = 0xCB;
constexpr uint64_t kFreshLimit = 64 << 20;

// Addresses are given once and never again, so that a use after free is found. ThreadSanitizer
// leaves less room for them.
#if defined(__SANITIZE_THREAD__)
constexpr uint64_t kAddressSpace = uint64_t{1} << 36;
#else
constexpr uint64_t kAddressSpace = uint64_t{1} << 40;
#endif

struct Table {
  std::mutex mutex;
  uint64_t next_address = 0;
  uint64_t end_of_addresses = 0;
  std::map<uint64_t, std::shared_ptr<const Allocation>> allocations;  // by address
  std::map<uint64_t, uint64_t> pinned;                                // address to bytes
  std::vector<uint64_t> used = std::vector<uint64_t>(GetOptions().devices);
};

void* Map(uint64_t bytes, int protection) {
  void* address =
      mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) Die("the host has no room for " + std::to_string(bytes) + " bytes");
  return address;
}

// Never destroyed: streams may still run while the process exits.
Table& GetTable() {
  static Table& table = []() -> Table& {
    Table& made = *new Table;
    made.next_address = reinterpret_cast<uint64_t>(Map(kAddressSpace, PROT_NONE));
    made.end_of_addresses = made.next_address + kAddressSpace;
    return made;
  }();
  return table;
}

uint64_t TakeAddresses(uint64_t bytes) {
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  const uint64_t address = table.next_address;
  if (bytes > table.end_of_addresses - address) Die("all device addresses have been used");
  table.next_address += bytes;
  return address;
}

enum class Side { kHost, kDevice, kEither };

// The bytes of a range of device or host memory; keeps a device range's allocation alive.
struct Range {
  std::shared_ptr<const Allocation> allocation;
  std::byte* data;
};

Range Resolve(Side side, uint64_t address, uint64_t bytes, const char* what) {
  std::shared_ptr<const Allocation> allocation =
      side == Side::kHost ? nullptr : FindAllocation(address);
  if (allocation == nullptr && side != Side::kDevice) {
    return {nullptr, reinterpret_cast<std::byte*>(address)};
  }
  if (allocation == nullptr || !allocation->Contains(address, bytes)) {
    Die(std::string(what) + " device memory, " + std::to_string(bytes) + " bytes at " +
        Hex(address) + ", is not within an allocation: " + Describe(address));
  }
  std::byte* data = allocation->Translate(address);
  return {std::move(allocation), data};
}

}  // namespace

Allocation::Allocation(int device, uint64_t bytes)
    : device_(device),
      bytes_(bytes),
      mapped_bytes_((bytes + kPage - 1) / kPage * kPage + kPage),  // one guard page after each
      address_(TakeAddresses(mapped_bytes_)),
      data_(static_cast<std::byte*>(Map(mapped_bytes_, PROT_READ | PROT_WRITE))) {
  if (bytes_ <= kFreshLimit) std::memset(data_, kFreshByte, bytes_);
}

Allocation::~Allocation() { munmap(data_, mapped_bytes_); }

std::shared_ptr<const Allocation> Allocate(int device, uint64_t bytes) {
  if (bytes == 0 || bytes > FreeBytes(device)) return nullptr;
  auto allocation = std::make_shared<const Allocation>(device, bytes);
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  table.used[device] += bytes;
  table.allocations.emplace(allocation->address(), allocation);
  return allocation;
}

bool Free(uint64_t address) {
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  const auto found = table.allocations.find(address);
  if (found == table.allocations.end()) return false;
  table.used[found->second->device()] -= found->second->bytes();
  table.allocations.erase(found);
  return true;
}

std::shared_ptr<const Allocation> FindAllocation(uint64_t address) {
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  auto after = table.allocations.upper_bound(address);
  if (after == table.allocations.begin()) return nullptr;
  const std::shared_ptr<const Allocation>& allocation = std::prev(after)->second;
  return allocation->Contains(address, 1) ? allocation : nullptr;
}

uint64_t TotalBytes() { return static_cast<uint64_t>(GetOptions().memory_mb) << 20; }

uint64_t FreeBytes(int device) {
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  return TotalBytes() - table.used[device];
}

std::string Describe(uint64_t address) {
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  auto after = table.allocations.upper_bound(address);
  if (after == table.allocations.begin()) return "no allocation lies below the address";
  const Allocation& nearest = *std::prev(after)->second;
  return "the nearest allocation below has " + std::to_string(nearest.bytes()) + " bytes at " +
         Hex(nearest.address()) + " on device " + std::to_string(nearest.device()) +
         ", the address is " + std::to_string(address - nearest.address()) + " bytes into it";
}

void* AllocatePinned(uint64_t bytes) {
  void* address =
      std::aligned_alloc(kPage, std::max((bytes + kPage - 1) / kPage, uint64_t{1}) * kPage);
  if (address == nullptr) return nullptr;
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  table.pinned[reinterpret_cast<uint64_t>(address)] = bytes;
  return address;
}

bool FreePinned(void* address) {
  Table& table = GetTable();
  {
    std::lock_guard<std::mutex> lock(table.mutex);
    if (table.pinned.erase(reinterpret_cast<uint64_t>(address)) == 0) return false;
  }
  std::free(address);
  return true;
}

bool IsPinned(const void* address) {
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  const auto wanted = reinterpret_cast<uint64_t>(address);
  auto after = table.pinned.upper_bound(wanted);
  if (after == table.pinned.begin()) return false;
  --after;
  return wanted < after->first + after->second;
}

const char* Name(CopyKind kind) {
  constexpr const char* kNames[] = {"HtoD", "DtoH", "DtoD", "unified"};
  return kNames[static_cast<int>(kind)];
}

void Copy(CopyKind kind, uint64_t destination, uint64_t source, uint64_t bytes) {
  if (bytes == 0) return;
  constexpr Side kDestinations[] = {Side::kDevice, Side::kHost, Side::kDevice, Side::kEither};
  constexpr Side kSources[] = {Side::kHost, Side::kDevice, Side::kDevice, Side::kEither};
  const int index = static_cast<int>(kind);
  const Range to = Resolve(kDestinations[index], destination, bytes, "a copy to");
  const Range from = Resolve(kSources[index], source, bytes, "a copy from");
  std::memmove(to.data, from.data, bytes);
}

void Fill(uint64_t destination, uint32_t value, uint64_t value_bytes, uint64_t count) {
  if (count == 0) return;
  const Range to = Resolve(Side::kDevice, destination, value_bytes * count, "a memset of");
  for (uint64_t i = 0; i < count; ++i) std::memcpy(to.data + i * value_bytes, &value, value_bytes);
}

}  // namespace gpu_emulator
