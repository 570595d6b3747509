// Decodes a kernel's text into the interpreter's form. Whatever is not known is a PtxError: an
// opcode, a type, a modifier that no rule asked for, a name. Stateless between kernels.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "instructions/interpreter.h"
#include "program/program.h"
#include "program/ptx_module.h"
#include "program/ptx_types.h"
#include "program/token_reader.h"

namespace gpu_emulator {

// `body` is the token after the kernel's name. Throws PtxError.
Kernel DecodeKernel(const Module& module, const std::string& name, size_t body);

template <class... T>
struct Types {};

class KernelDecoder;

// One instruction's text, handed to the decode function of its opcode. That function takes every
// modifier it knows, then the operands in order, and sets `execute`.
class InstructionReader {
 public:
  InstructionReader(KernelDecoder* kernel, std::string_view opcode);

  std::string_view name() const { return name_; }
  // Of the opcode's `.f32`-like parts, the one given: most opcodes have one, cvt has two.
  Type type(size_t index = 0) const { return index < types_.size() ? types_[index] : Type::kNone; }

  bool TakeModifier(std::string_view modifier);
  void NeedModifier(std::string_view modifier);
  // The first of the names that is a modifier of this opcode; its index, or -1.
  int TakeOneOf(std::initializer_list<std::string_view> modifiers);
  Space TakeSpace();

  int32_t Destination();  // a register
  int32_t Source();       // a register, an immediate, a variable's address
  int32_t SourcePredicate(bool* negated);
  uint64_t Literal();
  // `d, a, b, c`, as many as given.
  void Operands(int32_t* destination, std::initializer_list<int32_t*> sources);
  // `{x, y}` or `x` into instruction.vector and .count; `_` is a slot that nobody reads.
  void Vector(Instruction& instruction, bool destinations);
  // `[a+16]` into instruction.a and .immediate.
  void Address(Instruction& instruction);
  void Comma();
  bool TakeIf(std::string_view text);
  bool NextIsBrace() const;
  void Label();  // a branch target: instruction.immediate, once the whole kernel is known
  void UsesBarrier();

  // Handler::Run<T> for the T of the list whose type is `type`; fails when there is none.
  template <class Handler, class... T>
  Execute Choose(Type type, Types<T...>) {
    Execute execute = nullptr;
    ((T::kType == type ? void(execute = &Handler::template Run<T>) : void()), ...);
    if (execute == nullptr) Fail("its type is not supported");
    return execute;
  }

  // Throws unless every modifier was taken and the statement ends here.
  void Finish();
  [[noreturn]] void Fail(const std::string& what) const;

 private:
  KernelDecoder& kernel_;
  const std::string_view opcode_;
  std::string_view name_;
  std::vector<Type> types_;
  std::vector<std::string_view> modifiers_;  // not taken yet
};

using DecodeFunction = void (*)(InstructionReader&, Instruction&);

// The opcodes of one subject, one file each.
using InstructionSet = std::map<std::string_view, DecodeFunction>;
const InstructionSet& Arithmetic();
const InstructionSet& Logic();
const InstructionSet& Conversions();
const InstructionSet& MemoryAccesses();
const InstructionSet& Control();

// For the handlers: d = Operation(a, ...) in every lane.
template <class Operation>
struct Unary {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {  //
      warp.Set<T>(i.d, lane, Operation()(warp.Get<T>(i.a, lane)));
    });
  }
};

template <class Operation>
struct Binary {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      warp.Set<T>(i.d, lane, Operation()(warp.Get<T>(i.a, lane), warp.Get<T>(i.b, lane)));
    });
  }
};

template <class Operation>
struct Ternary {
  template <class T>
  static void Run(Warp& warp, const Instruction& i) {
    warp.ForEachLane([&](int lane) {
      warp.Set<T>(
          i.d, lane,
          Operation()(warp.Get<T>(i.a, lane), warp.Get<T>(i.b, lane), warp.Get<T>(i.c, lane)));
    });
  }
};

}  // namespace gpu_emulator
