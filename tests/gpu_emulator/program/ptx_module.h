// The text of a PTX module: its tokens, its target, and where each kernel begins.
//
// A Module keeps the text that its tokens point into. Kernels are decoded on first use, under the
// module's lock, because TensorFlow's modules hold many kernels that no test launches.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "program/program.h"

namespace gpu_emulator {

struct Token {
  std::string_view text;
  int32_t line;
};

// A variable declared outside the kernels; only shared ones can be used.
struct SharedVariable {
  std::string_view name;
  uint32_t offset;
};

class Module {
 public:
  // Null when the text is not PTX: `why` then says where it stops being so.
  static std::shared_ptr<Module> Parse(std::string text, std::string* why);

  int target() const { return target_; }    // 90 for sm_90
  int version() const { return version_; }  // 88 for .version 8.8
  // Null when the module has no such kernel. Dies when the emulator cannot run it.
  const Kernel* FindKernel(const std::string& name);

  // For the decoder:
  // -------------------------------------------------------------------------------
  const std::vector<Token>& tokens() const { return tokens_; }
  const std::vector<SharedVariable>& shared_variables() const { return shared_variables_; }
  uint32_t shared_bytes() const { return shared_bytes_; }

 private:
  void ParseTopLevel();

  std::string text_;
  std::vector<Token> tokens_;
  int target_ = 0;
  int version_ = 0;
  std::vector<SharedVariable> shared_variables_;
  uint32_t shared_bytes_ = 0;
  std::map<std::string, size_t, std::less<>> entries_;  // kernel name to the token after it
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<const Kernel>> kernels_;  // the decoded ones
};

}  // namespace gpu_emulator
