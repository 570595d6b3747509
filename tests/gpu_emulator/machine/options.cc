#include "machine/options.h"

#include <cstdlib>

#include "machine/report.h"

namespace gpu_emulator {
namespace {

std::optional<std::string> Text(const std::string& name) {
  const char* value = std::getenv(("TF_MAVG_EMULATOR_" + name).c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::optional<int64_t> Number(const std::string& name, int64_t least, int64_t most) {
  const std::optional<std::string> text = Text(name);
  if (!text) return std::nullopt;
  char* end = nullptr;
  const int64_t value = std::strtoll(text->c_str(), &end, 10);
  if (*end != '\0' || value < least || value > most) {
    Die("TF_MAVG_EMULATOR_" + name + " must be an integer from " + std::to_string(least) + " to " +
        std::to_string(most) + ". Received: " + *text);
  }
  return value;
}

// "9.0" is 90.
std::optional<int> Version(const std::string& name) {
  const std::optional<std::string> text = Text(name);
  if (!text) return std::nullopt;
  char* end = nullptr;
  const int64_t major = std::strtoll(text->c_str(), &end, 10);
  if (*end != '.' || end[1] < '0' || end[1] > '9' || end[2] != '\0') {
    Die("TF_MAVG_EMULATOR_" + name + " must be MAJOR.MINOR. Received: " + *text);
  }
  return static_cast<int>(major * 10 + (end[1] - '0'));
}

Options Read() {
  Options options;
  options.log = Text("LOG").value_or("");
  options.delay_us = Number("DELAY_US", 0, 10'000'000).value_or(0);
  if (const auto seed = Number("SHUFFLE", 0, UINT32_MAX)) {
    options.shuffle = static_cast<uint32_t>(*seed);
  }
  options.compute_capability = Version("COMPUTE_CAPABILITY").value_or(options.compute_capability);
  options.memory_mb = Number("MEMORY_MB", 1, 1 << 20).value_or(options.memory_mb);
  options.driver_version =
      static_cast<int>(Number("DRIVER_VERSION", 10000, 99999).value_or(options.driver_version));
  options.devices = static_cast<int>(Number("DEVICES", 0, 8).value_or(options.devices));
  options.multiprocessors =
      static_cast<int>(Number("MULTIPROCESSORS", 1, 1024).value_or(options.multiprocessors));
  options.maximum_ptx_version = Version("MAXIMUM_PTX_VERSION");
  options.ptx = Text("PTX").value_or("");
  if (const std::optional<std::string> refuse = Text("REFUSE")) {
    const size_t sign = refuse->find('=');
    const char* code = sign == std::string::npos ? "" : refuse->c_str() + sign + 1;
    char* end = nullptr;
    options.refused_kernel = refuse->substr(0, sign);
    options.refusal = static_cast<int>(std::strtol(code, &end, 10));
    if (options.refusal <= 0 || *end != '\0') {
      Die("TF_MAVG_EMULATOR_REFUSE must be KERNEL=CODE. Received: " + *refuse);
    }
  }
  return options;
}

}  // namespace

const Options& GetOptions() {
  static const Options* const options = new Options(Read());
  return *options;
}

}  // namespace gpu_emulator
