// Device and pinned host memory.
//
// A device address lies in a mapping of its own that nobody may touch, so host code that follows a
// device pointer crashes as it would with a GPU; the bytes are elsewhere and every access of a
// kernel or copy is translated, which checks it against the allocation it belongs to. One lock
// guards the table of allocations. An Allocation lives as long as anyone holds it, so a kernel in
// flight never sees its memory disappear.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace gpu_emulator {

class Allocation {
 public:
  Allocation(int device, uint64_t bytes);
  ~Allocation();
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

  int device() const { return device_; }
  uint64_t address() const { return address_; }
  uint64_t bytes() const { return bytes_; }
  bool Contains(uint64_t address, uint64_t bytes) const {
    return address >= address_ && bytes <= bytes_ && address - address_ <= bytes_ - bytes;
  }
  std::byte* Translate(uint64_t address) const { return data_ + (address - address_); }

 private:
  int device_;
  uint64_t bytes_;
  uint64_t mapped_bytes_;
  uint64_t address_;
  std::byte* data_;
};

// Null when the device has not that much memory left.
std::shared_ptr<const Allocation> Allocate(int device, uint64_t bytes);
// False when no allocation starts at the address.
bool Free(uint64_t address);
// The allocation around the address, or null.
std::shared_ptr<const Allocation> FindAllocation(uint64_t address);
uint64_t TotalBytes();
uint64_t FreeBytes(int device);
// What lies around an address that no access may touch, for a report.
std::string Describe(uint64_t address);

void* AllocatePinned(uint64_t bytes);
bool FreePinned(void* address);
bool IsPinned(const void* address);

// Where the two sides of a copy lie; kUnified finds out by the addresses.
enum class CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice, kUnified };
const char* Name(CopyKind kind);

// These die when a device range is not within one allocation.
void Copy(CopyKind kind, uint64_t destination, uint64_t source, uint64_t bytes);
void Fill(uint64_t destination, uint32_t value, uint64_t value_bytes, uint64_t count);

}  // namespace gpu_emulator
