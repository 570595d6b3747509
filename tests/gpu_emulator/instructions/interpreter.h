// Runs a decoded kernel: blocks on two host threads, each block warp by warp, each warp's 32 lanes
// together, instruction by instruction.
//
// Divergence: a warp runs the lanes with the smallest program counter; the others are parked and
// join when it reaches theirs. A lane that waits at a barrier is parked until every living lane of
// the block waits. Host threads share only the counter of blocks, and the atomics' lock. Any fault
// (an access out of bounds or misaligned, a warp operation that lanes miss, a trap, a kernel that
// does not end) dies with kernel, PTX line, block and thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "machine/memory.h"
#include "program/program.h"

namespace gpu_emulator {

struct Launch {
  const Kernel* kernel;
  std::array<uint32_t, 3> grid;
  std::array<uint32_t, 3> block;
  uint32_t dynamic_shared_bytes;
  int device;
  std::vector<std::byte> parameters;
};

// Returns when the kernel has ended. Floating point is IEEE's: the flush-to-zero modes of the
// calling thread, which TensorFlow sets in its own, do not matter.
void Run(const Launch& launch);

// What the warps of one host thread share: block number and memory.
struct BlockState {
  explicit BlockState(const Launch& launch) : launch(launch) {}

  const Launch& launch;
  std::array<uint32_t, 3> index = {};
  std::vector<std::byte> shared;
  // Allocations that kernels touched last; a kernel uses few, so this saves most look-ups.
  std::array<std::shared_ptr<const Allocation>, 4> cache = {};
  uint32_t next_cache = 0;
};

enum class Space : uint8_t { kGeneric, kGlobal, kParam, kShared, kLocal };

class Warp {
 public:
  static constexpr int kLanes = 32;

  explicit Warp(BlockState* block);

  // Prepares the lanes for 32 threads of the block, or what is left of it.
  void Start(uint32_t first_thread);
  // Runs until every lane has ended or waits at a barrier.
  void Run();
  bool Done() const { return alive_ == 0; }
  void Release() { waiting_ = 0; }

  // For the handlers: ----------------------------------------------------------------------------
  template <class T>
  typename T::Value Get(int32_t slot, int lane) const {
    return T::Load(registers_[slot * kLanes + lane]);
  }
  template <class T>
  void Set(int32_t slot, int lane, typename T::Value value) {
    registers_[slot * kLanes + lane] = T::Store(value);
  }
  uint64_t& Bits(int32_t slot, int lane) { return registers_[slot * kLanes + lane]; }

  // The lanes that the current instruction runs for.
  uint32_t mask() const { return mask_; }
  uint32_t living() const { return alive_; }
  template <class F>
  void ForEachLane(F function) {
    if (mask_ == ~0u) {
      for (int lane = 0; lane < kLanes; ++lane) function(lane);
    } else {
      for (uint32_t rest = mask_; rest != 0; rest &= rest - 1) function(__builtin_ctz(rest));
    }
  }

  // The host bytes of a lane's access, which is checked.
  std::byte* Locate(Space space, uint64_t address, uint32_t bytes, int lane);
  void Branch(int32_t target);
  void Exit();
  void WaitAtBarrier();
  [[noreturn]] void Fail(const std::string& what, int lane) const;

 private:
  static constexpr int32_t kNever = INT32_MAX;

  // Chooses the lanes to run next; false when none can.
  bool SelectLanes();
  void Park(uint32_t lanes, int32_t pc);
  std::byte* LocateGlobal(uint64_t address, uint32_t bytes, int lane);

  BlockState& block_;
  const Kernel& kernel_;
  uint32_t first_thread_ = 0;
  uint32_t alive_ = 0;    // have not exited
  uint32_t waiting_ = 0;  // at a barrier
  uint32_t active_ = 0;   // run now, at pc_
  uint32_t mask_ = 0;     // of those, the ones whose guard holds
  int32_t pc_ = 0;
  int32_t next_parked_ = kNever;  // the smallest program counter of a parked lane
  std::array<int32_t, kLanes> parked_pc_ = {};
  std::vector<uint64_t> registers_;  // by slot, then lane
  std::vector<std::byte> local_;     // by lane
};

}  // namespace gpu_emulator
