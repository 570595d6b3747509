// One kernel being decoded: its names, and what they stand for.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "program/program.h"
#include "program/ptx_module.h"
#include "program/token_reader.h"

namespace gpu_emulator {

class KernelDecoder {
 public:
  KernelDecoder(const Module& module, const std::string& name, size_t body)
      : reader_(module.tokens(), body) {
    kernel_.name = name;
    kernel_.special.fill(kNoSlot);
    kernel_.shared_bytes = module.shared_bytes();
    for (const SharedVariable& variable : module.shared_variables()) {
      variables_[variable.name] = variable.offset;
    }
  }

  Kernel Decode();

  TokenReader& reader() { return reader_; }
  int32_t Register(std::string_view name) const;  // kNoSlot: no register
  int32_t Source();
  int32_t NewSlot(uint64_t value = 0);
  void Label(std::string_view label) { jumps_.emplace_back(kernel_.code.size(), label); }
  void UsesBarrier() { kernel_.has_barrier = true; }

 private:
  void Parameters();
  void Directives();
  void Body();
  void Registers();
  uint32_t Place(const Variable& variable, uint32_t* used);
  void DecodeInstruction();
  int32_t Constant(uint64_t value);
  uint64_t Literal();

  TokenReader reader_;
  Kernel kernel_;
  std::vector<std::unordered_map<std::string, int32_t>> scopes_;  // registers, innermost last
  std::map<std::string_view, uint64_t> variables_;                // address in its space
  std::unordered_map<uint64_t, int32_t> constants_;               // value to slot
  std::map<std::string_view, size_t> labels_;
  std::vector<std::pair<size_t, std::string_view>> jumps_;  // instruction, label
};

}  // namespace gpu_emulator
