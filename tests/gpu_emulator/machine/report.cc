#include "machine/report.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "machine/options.h"

namespace gpu_emulator {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// Never closed: streams may still log while the process exits.
std::FILE* LogFile() {
  static std::FILE* const file = [] {
    const std::string& path = GetOptions().log;
    std::FILE* opened = path.empty() ? nullptr : std::fopen(path.c_str(), "a");
    if (opened == nullptr && !path.empty()) Die("cannot write the log " + path);
    return opened;
  }();
  return file;
}

}  // namespace

void Die(const std::string& message) {
  static std::mutex& mutex = *new std::mutex;
  mutex.lock();  // for good: of several threads that die, one reports
  std::fprintf(stderr, "GPU emulator: %s\n", message.c_str());
  std::fflush(stderr);
  std::abort();
}

std::string Hex(uint64_t value) {
  char text[19];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

Record::Record(const char* call) : line_("{\"call\": " + Quoted(call)) {}

Record::~Record() {
  std::FILE* const file = LogFile();
  if (file == nullptr) return;
  line_ += "}\n";
  static std::mutex& mutex = *new std::mutex;
  std::lock_guard<std::mutex> lock(mutex);
  std::fwrite(line_.data(), 1, line_.size(), file);
  std::fflush(file);
}

Record& Record::Add(const char* key, uint64_t value) {
  line_ += ", " + Quoted(key) + ": " + std::to_string(value);
  return *this;
}

Record& Record::Add(const char* key, const std::string& value) {
  line_ += ", " + Quoted(key) + ": " + Quoted(value);
  return *this;
}

Record& Record::Add(const char* key, std::initializer_list<uint32_t> values) {
  line_ += ", " + Quoted(key) + ": [";
  const char* separator = "";
  for (const uint32_t value : values) {
    line_ += separator + std::to_string(value);
    separator = ", ";
  }
  line_ += ']';
  return *this;
}

}  // namespace gpu_emulator
