#include "program/token_reader.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace gpu_emulator {
namespace {

constexpr std::string_view kTypeNames[] = {"",    "pred",  "b8",   "b16",    "b32", "b64", "u8",
                                           "u16", "u32",   "u64",  "s8",     "s16", "s32", "s64",
                                           "f16", "f16x2", "bf16", "bf16x2", "f32", "f64"};
constexpr uint32_t kTypeBytes[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 2, 4, 4, 8};
static_assert(std::size(kTypeNames) == static_cast<size_t>(Type::kF64) + 1);
static_assert(std::size(kTypeBytes) == std::size(kTypeNames));

}  // namespace

Type ParseType(std::string_view word) {
  const auto* found = std::find(std::begin(kTypeNames) + 1, std::end(kTypeNames), word);
  if (found == std::end(kTypeNames)) return Type::kNone;
  return static_cast<Type>(found - std::begin(kTypeNames));
}

uint32_t BytesOf(Type type) { return kTypeBytes[static_cast<size_t>(type)]; }

int32_t TokenReader::line() const {
  return tokens_.empty() ? 0 : tokens_[std::min(position_, tokens_.size() - 1)].line;
}

std::string_view TokenReader::Peek(size_t ahead) const {
  return position_ + ahead < tokens_.size() ? tokens_[position_ + ahead].text : "";
}

std::string_view TokenReader::Take() {
  if (AtEnd()) Fail("the text ends too early");
  return tokens_[position_++].text;
}

bool TokenReader::TakeIf(std::string_view text) {
  if (Peek() != text) return false;
  ++position_;
  return true;
}

void TokenReader::Expect(std::string_view text) {
  if (!TakeIf(text)) {
    Fail("expected '" + std::string(text) + "', received '" + std::string(Peek()) + "'");
  }
}

uint64_t TokenReader::TakeInteger() {
  std::string_view text = Take();
  const std::string_view whole = text;
  if (text.size() > 1 && text.back() == 'U') text.remove_suffix(1);
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) {
    Fail("expected an integer, received '" + std::string(whole) + "'");
  }
  return value;
}

Variable TokenReader::TakeVariable() {
  Variable variable{{}, 1, 0};
  if (TakeIf(".align")) variable.align = static_cast<uint32_t>(TakeInteger());
  const Type type = ParseType(Take().substr(1));
  if (type == Type::kNone) Fail("expected a type");
  variable.align = std::max(variable.align, BytesOf(type));
  // `.u64 .ptr .global .align 16 name` promises something about where the parameter points.
  if (TakeIf(".ptr")) {
    while (Peek()[0] == '.') {
      if (Take() == ".align") TakeInteger();
    }
  }
  variable.name = Take();
  variable.bytes = BytesOf(type);
  while (TakeIf("[")) {  // `name[]` of an .extern variable: bytes that the launch adds
    variable.bytes *= Peek() == "]" ? 0 : static_cast<uint32_t>(TakeInteger());
    Expect("]");
  }
  return variable;
}

void TokenReader::SkipLine() {
  const int32_t line = tokens_[position_ - 1].line;
  while (!AtEnd() && tokens_[position_].line == line) ++position_;
}

void TokenReader::SkipBraces() {
  int depth = 0;
  do {
    const std::string_view text = Take();
    depth += text == "{" ? 1 : text == "}" ? -1 : 0;
  } while (depth > 0);
}

}  // namespace gpu_emulator
