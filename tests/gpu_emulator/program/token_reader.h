// A cursor over a module's tokens, with the few rules that the module and its kernels share.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "program/ptx_module.h"
#include "program/ptx_types.h"

namespace gpu_emulator {

// What the text has that it should not, or that the emulator does not know.
class PtxError : public std::runtime_error {
 public:
  PtxError(int32_t line, const std::string& what)
      : std::runtime_error("PTX line " + std::to_string(line) + ": " + what) {}
};

// kNone when the word is not a type.
Type ParseType(std::string_view word);
uint32_t BytesOf(Type type);

// `.align 8 .b8 name[16]`, the part of a declaration that parameters and variables share.
struct Variable {
  std::string_view name;
  uint32_t align;
  uint32_t bytes;
};

class TokenReader {
 public:
  TokenReader(const std::vector<Token>& tokens, size_t position)
      : tokens_(tokens), position_(position) {}

  bool AtEnd() const { return position_ == tokens_.size(); }
  size_t position() const { return position_; }
  int32_t line() const;
  std::string_view Peek(size_t ahead = 0) const;
  std::string_view Take();
  bool TakeIf(std::string_view text);
  void Expect(std::string_view text);
  uint64_t TakeInteger();
  Variable TakeVariable();
  void SkipLine();    // of the token before
  void SkipBraces();  // from `{` to its `}`
  [[noreturn]] void Fail(const std::string& what) const { throw PtxError(line(), what); }

 private:
  const std::vector<Token>& tokens_;
  size_t position_;
};

}  // namespace gpu_emulator
