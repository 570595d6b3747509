#include "program/ptx_module.h"

#include <utility>

#include "instructions/decoder.h"
#include "machine/report.h"
#include "program/token_reader.h"

namespace gpu_emulator {
namespace {

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || c == '%' || c == '.';
}

// Words, strings and single characters; a word may hold "::", as in .L1::no_allocate.
std::vector<Token> Tokenize(std::string_view text) {
  std::vector<Token> tokens;
  int32_t line = 1;
  size_t i = 0;
  const auto at = [&](size_t index) { return index < text.size() ? text[index] : '\0'; };
  while (i < text.size()) {
    const size_t start = i;
    if (text[i] == '\n') {
      ++line;
      ++i;
    } else if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\0') {
      ++i;
    } else if (text[i] == '/' && at(i + 1) == '/') {
      while (i < text.size() && text[i] != '\n') ++i;
    } else if (text[i] == '/' && at(i + 1) == '*') {
      for (i += 2; i < text.size() && !(text[i - 1] == '*' && text[i] == '/'); ++i) {
        line += text[i] == '\n';
      }
      ++i;
    } else if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
      }
      tokens.push_back({text.substr(start, ++i - start), line});
    } else if (IsWord(text[i])) {
      while (IsWord(at(i)) || (at(i) == ':' && at(i + 1) == ':')) i += at(i) == ':' ? 2 : 1;
      tokens.push_back({text.substr(start, i - start), line});
    } else {
      tokens.push_back({text.substr(i++, 1), line});
    }
  }
  return tokens;
}

int Digits(std::string_view text) {
  int value = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9') value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

std::shared_ptr<Module> Module::Parse(std::string text, std::string* why) {
  auto module = std::make_shared<Module>();
  module->text_ = std::move(text);
  module->tokens_ = Tokenize(module->text_);
  try {
    module->ParseTopLevel();
  } catch (const PtxError& error) {
    *why = error.what();
    return nullptr;
  }
  return module;
}

void Module::ParseTopLevel() {
  TokenReader reader(tokens_, 0);
  reader.Expect(".version");
  version_ = Digits(reader.Take());
  reader.Expect(".target");
  target_ = Digits(reader.Take());  // the "a" of sm_90a changes nothing here
  while (!reader.AtEnd()) {
    const std::string_view word = reader.Take();
    if (word == ".address_size") {
      reader.Expect("64");
    } else if (word == ".entry") {
      const std::string name(reader.Take());
      entries_[name] = reader.position();
      while (reader.Peek() != "{") reader.Take();
      reader.SkipBraces();
    } else if (word == ".func") {  // a call is an instruction that the decoder refuses
      while (reader.Peek() != "{" && reader.Peek() != ";") reader.Take();
      if (!reader.TakeIf(";")) reader.SkipBraces();
    } else if (word == ".shared") {
      const Variable variable = reader.TakeVariable();
      shared_bytes_ = (shared_bytes_ + variable.align - 1) / variable.align * variable.align;
      shared_variables_.push_back({variable.name, shared_bytes_});
      shared_bytes_ += variable.bytes;
      reader.Expect(";");
    } else if (word == ".global" || word == ".const") {  // unknown names to the kernels
      while (!reader.TakeIf(";")) reader.Take();
    } else if (word == ".file") {
      reader.SkipLine();
    } else if (word == ".section") {
      while (reader.Peek() != "{") reader.Take();
      reader.SkipBraces();
    } else if (word != ".visible" && word != ".weak" && word != ".extern" && word != "," &&
               word != "debug" && word != "texmode_independent") {
      reader.Fail("unexpected '" + std::string(word) + "' between kernels");
    }
  }
}

const Kernel* Module::FindKernel(const std::string& name) {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<const Kernel>& kernel = kernels_[name];
  if (kernel == nullptr) {
    try {
      kernel = std::make_unique<const Kernel>(DecodeKernel(*this, name, entry->second));
    } catch (const PtxError& error) {
      Die("kernel " + name + " cannot be run: " + error.what());
    }
  }
  return kernel.get();
}

}  // namespace gpu_emulator
