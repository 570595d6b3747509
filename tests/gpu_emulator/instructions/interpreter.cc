#include "instructions/interpreter.h"

#include <xmmintrin.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <thread>

#include "machine/options.h"
#include "machine/report.h"

namespace gpu_emulator {
namespace {

// MXCSR as a process starts with it: round to nearest even, nothing flushed, exceptions masked.
constexpr unsigned kIeeeMode = 0x1f80;
// Instructions of one warp between two barriers. An endless loop then ends within minutes.
constexpr uint64_t kInstructionLimit = 1'000'000'000;
constexpr int kFreshByte = 0xcb;  // of shared and local memory

std::string Triple(const std::array<uint32_t, 3>& v) {
  return "(" + std::to_string(v[0]) + ", " + std::to_string(v[1]) + ", " + std::to_string(v[2]) +
         ")";
}

std::array<uint32_t, 3> Unflatten(uint64_t index, const std::array<uint32_t, 3>& extents) {
  const uint64_t rows = index / extents[0];
  return {static_cast<uint32_t>(index % extents[0]), static_cast<uint32_t>(rows % extents[1]),
          static_cast<uint32_t>(rows / extents[1])};
}

uint64_t Volume(const std::array<uint32_t, 3>& extents) {
  return uint64_t{extents[0]} * extents[1] * extents[2];
}

// Without a barrier one Warp runs the block's warps in turn; with one they all have to exist.
void RunBlock(BlockState& block, std::vector<Warp>& warps) {
  const auto threads = static_cast<uint32_t>(Volume(block.launch.block));
  std::fill(block.shared.begin(), block.shared.end(), std::byte{kFreshByte});
  if (!block.launch.kernel->has_barrier) {
    for (uint32_t first = 0; first < threads; first += Warp::kLanes) {
      warps[0].Start(first);
      warps[0].Run();
    }
    return;
  }
  for (size_t i = 0; i < warps.size(); ++i) warps[i].Start(static_cast<uint32_t>(i) * Warp::kLanes);
  while (!std::all_of(warps.begin(), warps.end(), [](const Warp& warp) { return warp.Done(); })) {
    for (Warp& warp : warps) warp.Run();
    for (Warp& warp : warps) warp.Release();
  }
}

void RunBlocks(const Launch& launch, const std::vector<uint32_t>& order,
               std::atomic<uint64_t>& next) {
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(kIeeeMode);
  BlockState block(launch);
  block.shared.resize(launch.kernel->shared_bytes + launch.dynamic_shared_bytes);
  const uint64_t warps_a_block = (Volume(launch.block) + Warp::kLanes - 1) / Warp::kLanes;
  std::vector<Warp> warps(launch.kernel->has_barrier ? warps_a_block : 1, Warp(&block));
  const uint64_t blocks = Volume(launch.grid);
  for (uint64_t i = next++; i < blocks; i = next++) {
    block.index = Unflatten(order.empty() ? i : order[i], launch.grid);
    RunBlock(block, warps);
  }
  _mm_setcsr(mode);
}

}  // namespace

void Run(const Launch& launch) {
  std::vector<uint32_t> order;  // empty: ascending
  if (const auto seed = GetOptions().shuffle) {
    order.resize(Volume(launch.grid));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(*seed));
  }
  std::atomic<uint64_t> next{0};
  if (Volume(launch.grid) == 1) return RunBlocks(launch, order, next);
  std::thread other([&] { RunBlocks(launch, order, next); });
  RunBlocks(launch, order, next);
  other.join();
}

Warp::Warp(BlockState* block)
    : block_(*block),
      kernel_(*block->launch.kernel),
      registers_(kernel_.slots.size() * kLanes),
      local_(kernel_.local_bytes * uint64_t{kLanes}) {
  for (size_t slot = 0; slot < kernel_.slots.size(); ++slot) {
    std::fill_n(registers_.begin() + slot * kLanes, kLanes, kernel_.slots[slot]);
  }
}

void Warp::Start(uint32_t first_thread) {
  const Launch& launch = block_.launch;
  const uint64_t threads = Volume(launch.block) - first_thread;
  first_thread_ = first_thread;
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto thread = Unflatten(first_thread_ + lane, launch.block);
    const uint32_t values[kSpecialRegisters] = {thread[0],
                                                thread[1],
                                                thread[2],  //
                                                launch.block[0],
                                                launch.block[1],
                                                launch.block[2],  //
                                                block_.index[0],
                                                block_.index[1],
                                                block_.index[2],  //
                                                launch.grid[0],
                                                launch.grid[1],
                                                launch.grid[2],  //
                                                static_cast<uint32_t>(lane)};
    for (int i = 0; i < kSpecialRegisters; ++i) {
      if (kernel_.special[i] != kNoSlot) Bits(kernel_.special[i], lane) = values[i];
    }
  }
  std::fill(local_.begin(), local_.end(), std::byte{kFreshByte});
  alive_ = threads >= kLanes ? ~0u : (1u << threads) - 1;
  waiting_ = 0;
  active_ = 0;
  parked_pc_.fill(0);
}

void Warp::Run() {
  if (!SelectLanes()) return;
  for (uint64_t steps = 0; steps < kInstructionLimit; ++steps) {
    if (pc_ >= next_parked_) {
      Park(active_, pc_);
      SelectLanes();
    }
    const Instruction& instruction = kernel_.code[pc_];
    mask_ = active_;
    if (instruction.guard != kNoSlot) {
      uint32_t holds = 0;
      const uint64_t* guard = &Bits(instruction.guard, 0);
      for (int lane = 0; lane < kLanes; ++lane) holds |= uint32_t{guard[lane] != 0} << lane;
      mask_ &= instruction.guard_negated ? ~holds : holds;
    }
    ++pc_;
    if (mask_ == 0) continue;
    instruction.execute(*this, instruction);
    if (active_ == 0 && !SelectLanes()) return;
  }
  Fail("the kernel does not end", __builtin_ctz(active_));
}

bool Warp::SelectLanes() {
  const uint32_t runnable = alive_ & ~waiting_;
  pc_ = kNever;
  for (uint32_t rest = runnable; rest != 0; rest &= rest - 1) {
    pc_ = std::min(pc_, parked_pc_[__builtin_ctz(rest)]);
  }
  active_ = 0;
  next_parked_ = kNever;
  for (uint32_t rest = runnable; rest != 0; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    if (parked_pc_[lane] == pc_) {
      active_ |= 1u << lane;
    } else {
      next_parked_ = std::min(next_parked_, parked_pc_[lane]);
    }
  }
  return active_ != 0;
}

void Warp::Park(uint32_t lanes, int32_t pc) {
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) parked_pc_[__builtin_ctz(rest)] = pc;
}

void Warp::Branch(int32_t target) {
  if (mask_ == active_) {
    pc_ = target;
    return;
  }
  Park(mask_, target);
  Park(active_ & ~mask_, pc_);
  active_ = 0;  // so that Run() selects anew
}

void Warp::Exit() {
  alive_ &= ~mask_;
  active_ &= ~mask_;
}

void Warp::WaitAtBarrier() {
  Park(active_, pc_);
  waiting_ |= mask_;
  active_ = 0;
}

std::byte* Warp::Locate(Space space, uint64_t address, uint32_t bytes, int lane) {
  if ((address & (bytes - 1)) != 0) {
    Fail("misaligned access of " + std::to_string(bytes) + " bytes at " + Hex(address), lane);
  }
  if (space == Space::kGeneric) {
    space = Space::kGlobal;
    if ((address & kWindowMask) == kParamWindow) space = Space::kParam;
    if ((address & kWindowMask) == kSharedWindow) space = Space::kShared;
    if ((address & kWindowMask) == kLocalWindow) space = Space::kLocal;
    if (space != Space::kGlobal) address &= ~kWindowMask;
  }
  if (space == Space::kGlobal) return LocateGlobal(address, bytes, lane);

  const auto within = [&](const char* name, const std::byte* data, uint64_t size) {
    if (size < bytes || address > size - bytes) {
      Fail(std::string("access of ") + std::to_string(bytes) + " bytes at " + Hex(address) +
               " is outside the " + std::to_string(size) + " bytes of " + name + " memory",
           lane);
    }
    return const_cast<std::byte*>(data) + address;
  };
  if (space == Space::kParam) {
    return within("parameter", block_.launch.parameters.data(), kernel_.parameter_bytes);
  }
  if (space == Space::kShared) return within("shared", block_.shared.data(), block_.shared.size());
  return within("local", local_.data() + uint64_t{kernel_.local_bytes} * lane, kernel_.local_bytes);
}

std::byte* Warp::LocateGlobal(uint64_t address, uint32_t bytes, int lane) {
  for (const auto& allocation : block_.cache) {
    if (allocation != nullptr && allocation->Contains(address, bytes)) {
      return allocation->Translate(address);
    }
  }
  std::shared_ptr<const Allocation> allocation = FindAllocation(address);
  const int device = block_.launch.device;
  if (allocation == nullptr || !allocation->Contains(address, bytes) ||
      allocation->device() != device) {
    Fail("access of " + std::to_string(bytes) + " bytes at " + Hex(address) +
             " is outside the allocations of device " + std::to_string(device) + "; " +
             Describe(address),
         lane);
  }
  auto& entry = block_.cache[block_.next_cache++ % block_.cache.size()];
  entry = std::move(allocation);
  return entry->Translate(address);
}

void Warp::Fail(const std::string& what, int lane) const {
  const auto thread = Unflatten(first_thread_ + lane, block_.launch.block);
  const int32_t line = kernel_.code[std::max(pc_ - 1, 0)].line;
  Die("kernel " + kernel_.name + ", PTX line " + std::to_string(line) + ", block " +
      Triple(block_.index) + ", thread " + Triple(thread) + ": " + what);
}

}  // namespace gpu_emulator
