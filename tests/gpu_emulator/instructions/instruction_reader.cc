#include <algorithm>

#include "instructions/decoder.h"
#include "instructions/kernel_decoder.h"

namespace gpu_emulator {

InstructionReader::InstructionReader(KernelDecoder* kernel, std::string_view opcode)
    : kernel_(*kernel), opcode_(opcode) {
  size_t begin = 0;
  while (begin <= opcode.size()) {
    const size_t end = std::min(opcode.find('.', begin), opcode.size());
    const std::string_view part = opcode.substr(begin, end - begin);
    const Type type = ParseType(part);
    if (begin == 0) {
      name_ = part;
    } else if (type != Type::kNone) {
      types_.push_back(type);
    } else {
      modifiers_.push_back(part);
    }
    begin = end + 1;
  }
}

bool InstructionReader::TakeModifier(std::string_view modifier) {
  const auto found = std::find(modifiers_.begin(), modifiers_.end(), modifier);
  if (found == modifiers_.end()) return false;
  modifiers_.erase(found);
  return true;
}

void InstructionReader::NeedModifier(std::string_view modifier) {
  if (!TakeModifier(modifier)) Fail("only ." + std::string(modifier) + " is supported");
}

int InstructionReader::TakeOneOf(std::initializer_list<std::string_view> modifiers) {
  int index = 0;
  for (const std::string_view modifier : modifiers) {
    if (TakeModifier(modifier)) return index;
    ++index;
  }
  return -1;
}

Space InstructionReader::TakeSpace() {
  const int index = TakeOneOf({"global", "param", "shared", "local"});
  return static_cast<Space>(index + 1);  // none: generic
}

int32_t InstructionReader::Destination() {
  const std::string_view name = kernel_.reader().Take();
  const int32_t slot = kernel_.Register(name);
  if (slot == kNoSlot) Fail("'" + std::string(name) + "' is not a register");
  return slot;
}

int32_t InstructionReader::Source() { return kernel_.Source(); }

int32_t InstructionReader::SourcePredicate(bool* negated) {
  *negated = TakeIf("!");
  return Destination();
}

uint64_t InstructionReader::Literal() { return kernel_.reader().TakeInteger(); }

void InstructionReader::Operands(int32_t* destination, std::initializer_list<int32_t*> sources) {
  *destination = Destination();
  for (int32_t* source : sources) {
    Comma();
    *source = Source();
  }
}

void InstructionReader::Vector(Instruction& instruction, bool destinations) {
  const bool braces = TakeIf("{");
  uint8_t count = 0;
  do {
    if (count == instruction.vector.size()) Fail("the vector has more than four elements");
    int32_t& slot = instruction.vector[count++];
    if (destinations) {
      slot = TakeIf("_") ? kernel_.NewSlot() : Destination();
    } else {
      slot = Source();
    }
  } while (braces && TakeIf(","));
  if (braces) kernel_.reader().Expect("}");
  instruction.count = count;
}

void InstructionReader::Address(Instruction& instruction) {
  kernel_.reader().Expect("[");
  instruction.a = Source();
  if (TakeIf("+")) {
    const bool negative = TakeIf("-");
    const auto offset = static_cast<int64_t>(Literal());
    instruction.immediate = negative ? -offset : offset;
  }
  kernel_.reader().Expect("]");
}

void InstructionReader::Comma() { kernel_.reader().Expect(","); }
bool InstructionReader::TakeIf(std::string_view text) { return kernel_.reader().TakeIf(text); }
bool InstructionReader::NextIsBrace() const { return kernel_.reader().Peek() == "{"; }
void InstructionReader::Label() { kernel_.Label(kernel_.reader().Take()); }
void InstructionReader::UsesBarrier() { kernel_.UsesBarrier(); }

void InstructionReader::Finish() {
  if (!modifiers_.empty()) Fail("." + std::string(modifiers_[0]) + " is not supported");
  kernel_.reader().Expect(";");
}

void InstructionReader::Fail(const std::string& what) const {
  kernel_.reader().Fail("unsupported instruction " + std::string(opcode_) + ": " + what);
}

}  // namespace gpu_emulator
