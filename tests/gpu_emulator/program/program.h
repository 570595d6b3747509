// A decoded kernel: what the decoder makes and the interpreter runs. Immutable once made.
//
// Every operand is a slot of the lane's register file. Immediates, the addresses of parameters and
// variables, and special registers have slots of their own, filled in before the code starts, so
// that no instruction asks what kind its operands are.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace gpu_emulator {

class Warp;
struct Instruction;
using Execute = void (*)(Warp&, const Instruction&);

constexpr int32_t kNoSlot = -1;

struct Instruction {
  Execute execute = nullptr;
  int32_t guard = kNoSlot;
  bool guard_negated = false;
  int32_t line = 0;  // of the PTX text
  int32_t d = kNoSlot, a = kNoSlot, b = kNoSlot, c = kNoSlot;
  int32_t d2 = kNoSlot;  // second destination: `d|d2`
  std::array<int32_t, 4> vector = {kNoSlot, kNoSlot, kNoSlot, kNoSlot};  // `{x, y, z, w}`
  uint8_t count = 1;                                                     // used slots of `vector`
  int64_t immediate = 0;  // address offset, branch target, lookup table: its handler's to say
};

enum SpecialRegister {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneid,
  kSpecialRegisters
};

struct Parameter {
  uint32_t offset;
  uint32_t bytes;
};

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t parameter_bytes = 0;
  uint32_t maximum_threads = 1024;  // a block; .maxntid lowers it
  uint32_t shared_bytes = 0;        // static
  uint32_t local_bytes = 0;         // a lane
  bool has_barrier = false;
  std::vector<Instruction> code;
  std::vector<uint64_t> slots;  // initial values
  std::array<int32_t, kSpecialRegisters> special;
};

// Generic addresses of the spaces that are not global carry the space in their top 16 bits, which
// no device address uses.
constexpr uint64_t kParamWindow = uint64_t{0x7a01} << 48;
constexpr uint64_t kSharedWindow = uint64_t{0x7a02} << 48;
constexpr uint64_t kLocalWindow = uint64_t{0x7a03} << 48;
constexpr uint64_t kWindowMask = uint64_t{0xffff} << 48;

}  // namespace gpu_emulator
