#include "instructions/decoder.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "instructions/kernel_decoder.h"

namespace gpu_emulator {

Kernel KernelDecoder::Decode() {
  Parameters();
  Directives();
  reader_.Expect("{");
  Body();
  Instruction end;  // a kernel may end without `ret`
  end.execute = [](Warp& warp, const Instruction&) { warp.Exit(); };
  end.line = reader_.line();
  kernel_.code.push_back(end);
  for (const auto& [instruction, label] : jumps_) {
    const auto found = labels_.find(label);
    if (found == labels_.end()) reader_.Fail("no label '" + std::string(label) + "'");
    kernel_.code[instruction].immediate = static_cast<int64_t>(found->second);
  }
  return std::move(kernel_);
}

void KernelDecoder::Parameters() {
  if (!reader_.TakeIf("(")) return;
  while (!reader_.TakeIf(")")) {
    reader_.Expect(".param");
    const Variable variable = reader_.TakeVariable();
    const uint32_t offset = Place(variable, &kernel_.parameter_bytes);
    kernel_.parameters.push_back({offset, variable.bytes});
    reader_.TakeIf(",");
  }
}

void KernelDecoder::Directives() {
  while (reader_.Peek() != "{") {
    const std::string_view directive = reader_.Take();
    if (directive != ".maxntid" && directive != ".reqntid" && directive != ".minnctapersm") {
      reader_.Fail("unknown directive " + std::string(directive));
    }
    uint64_t product = 1;
    do {
      product *= reader_.TakeInteger();
    } while (reader_.TakeIf(","));
    if (directive != ".minnctapersm") kernel_.maximum_threads = static_cast<uint32_t>(product);
  }
}

void KernelDecoder::Body() {
  scopes_.emplace_back();
  while (!reader_.TakeIf("}")) {
    if (reader_.TakeIf("{")) {
      Body();
    } else if (reader_.TakeIf(".reg")) {
      Registers();
    } else if (reader_.TakeIf(".shared")) {
      const Variable variable = reader_.TakeVariable();
      variables_[variable.name] = Place(variable, &kernel_.shared_bytes);
      reader_.Expect(";");
    } else if (reader_.TakeIf(".local")) {
      const Variable variable = reader_.TakeVariable();
      variables_[variable.name] = Place(variable, &kernel_.local_bytes);
      reader_.Expect(";");
    } else if (reader_.TakeIf(".loc")) {
      reader_.SkipLine();
    } else if (reader_.TakeIf(".pragma")) {  // of the optimizer: "nounroll"
      while (!reader_.TakeIf(";")) reader_.Take();
    } else if (reader_.Peek(1) == ":") {
      labels_[reader_.Take()] = kernel_.code.size();
      reader_.Expect(":");
    } else {
      DecodeInstruction();
    }
  }
  scopes_.pop_back();
}

// `.reg .b32 %r<36>;` declares %r0 to %r35, `.reg .pred p, q;` two.
void KernelDecoder::Registers() {
  const std::string_view type = reader_.Take();
  if (ParseType(type.substr(1)) == Type::kNone) reader_.Fail("unknown type of register");
  auto& scope = scopes_.back();
  do {
    const std::string name(reader_.Take());
    if (!reader_.TakeIf("<")) {
      scope[name] = NewSlot();
      continue;
    }
    const uint64_t count = reader_.TakeInteger();
    reader_.Expect(">");
    for (uint64_t i = 0; i < count; ++i) scope[name + std::to_string(i)] = NewSlot();
  } while (reader_.TakeIf(","));
  reader_.Expect(";");
}

uint32_t KernelDecoder::Place(const Variable& variable, uint32_t* used) {
  const uint32_t offset = (*used + variable.align - 1) / variable.align * variable.align;
  *used = offset + variable.bytes;
  variables_[variable.name] = offset;
  return offset;
}

void KernelDecoder::DecodeInstruction() {
  Instruction instruction;
  instruction.line = reader_.line();
  if (reader_.TakeIf("@")) {
    instruction.guard_negated = reader_.TakeIf("!");
    instruction.guard = Register(reader_.Take());
    if (instruction.guard == kNoSlot) reader_.Fail("unknown guard");
  }
  InstructionReader reader(this, reader_.Take());
  for (const auto* set : {&Arithmetic(), &Logic(), &Conversions(), &MemoryAccesses(), &Control()}) {
    const auto found = set->find(reader.name());
    if (found == set->end()) continue;
    found->second(reader, instruction);
    reader.Finish();
    kernel_.code.push_back(instruction);
    return;
  }
  reader.Fail("unknown opcode");
}

int32_t KernelDecoder::NewSlot(uint64_t value) {
  kernel_.slots.push_back(value);
  return static_cast<int32_t>(kernel_.slots.size()) - 1;
}

int32_t KernelDecoder::Constant(uint64_t value) {
  const auto [entry, added] = constants_.try_emplace(value, kNoSlot);
  if (added) entry->second = NewSlot(value);
  return entry->second;
}

int32_t KernelDecoder::Register(std::string_view name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->find(std::string(name));
    if (found != scope->end()) return found->second;
  }
  return kNoSlot;
}

int32_t KernelDecoder::Source() {
  static constexpr std::string_view kNames[kSpecialRegisters] = {
      "%tid.x",   "%tid.y",   "%tid.z",    "%ntid.x",   "%ntid.y",   "%ntid.z", "%ctaid.x",
      "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid"};
  const std::string_view text = reader_.Peek();
  if (text == "-" || (!text.empty() && text[0] >= '0' && text[0] <= '9')) {
    return Constant(Literal());
  }
  reader_.Take();
  if (const int32_t slot = Register(text); slot != kNoSlot) return slot;
  if (const auto found = variables_.find(text); found != variables_.end()) {
    return Constant(found->second);
  }
  const auto* special = std::find(std::begin(kNames), std::end(kNames), text);
  if (special == std::end(kNames)) reader_.Fail("unknown operand '" + std::string(text) + "'");
  int32_t& slot = kernel_.special[special - std::begin(kNames)];
  if (slot == kNoSlot) slot = NewSlot();
  return slot;
}

// An integer, or the bits of a float: 0f and eight, 0d and sixteen hexadecimal digits.
uint64_t KernelDecoder::Literal() {
  const bool negative = reader_.TakeIf("-");
  const std::string_view text = reader_.Peek();
  const bool f32 = text.size() == 10 && (text[1] == 'f' || text[1] == 'F');
  const bool f64 = text.size() == 18 && (text[1] == 'd' || text[1] == 'D');
  if (!f32 && !f64) {
    const uint64_t value = reader_.TakeInteger();
    return negative ? 0 - value : value;
  }
  uint64_t bits = 0;
  const char* const end = text.data() + text.size();
  if (negative || std::from_chars(text.data() + 2, end, bits, 16).ptr != end) {
    reader_.Fail("bad floating-point literal '" + std::string(text) + "'");
  }
  reader_.Take();
  return bits;
}

Kernel DecodeKernel(const Module& module, const std::string& name, size_t body) {
  return KernelDecoder(module, name, body).Decode();
}

}  // namespace gpu_emulator
