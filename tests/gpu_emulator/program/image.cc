#include "program/image.h"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>

#include "machine/options.h"
#include "machine/report.h"

namespace gpu_emulator {
namespace {

constexpr uint32_t kWrapperMagic = 0x466243b1;  // what __cudaRegisterFatBinary is given
constexpr uint32_t kFatbinMagic = 0xba55ed50;
constexpr uint32_t kElfMagic = 0x464c457f;  // a cubin
constexpr uint16_t kPtxEntry = 1;
constexpr uint64_t kLz4Flag = 0x2000;  // what CUDA 12's fatbinary compresses PTX with

struct Wrapper {
  uint32_t magic, version;
  const void* data;
};

struct FatbinHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t entries_bytes;
};

struct EntryHeader {
  uint16_t kind, version;
  uint32_t header_bytes;
  uint64_t payload_bytes;
  uint32_t compressed_bytes, unknown[2];
  uint32_t architecture;  // 90 for sm_90
  uint64_t name;
  uint64_t flags;
  uint64_t unknown_too;
  uint64_t uncompressed_bytes;
};
static_assert(sizeof(EntryHeader) == 64);

template <class T>
T Read(const void* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

// Decodes one LZ4 block: runs of literals, each followed by a match in what was decoded so far.
std::optional<std::string> DecodeLz4(const uint8_t* input, const uint8_t* end, uint64_t bytes) {
  std::string output;
  output.reserve(bytes);
  const auto length = [&](uint64_t nibble) {  // 15 continues in bytes that are added up to < 255
    if (nibble < 15) return nibble;
    uint8_t next = 255;
    while (next == 255 && input < end) nibble += next = *input++;
    return nibble;
  };
  while (input < end && output.size() < bytes) {
    const uint8_t token = *input++;
    const uint64_t literals = length(token >> 4);
    if (literals > static_cast<uint64_t>(end - input)) return std::nullopt;
    output.append(reinterpret_cast<const char*>(input), literals);
    input += literals;
    if (end - input < 2) break;  // the last run has no match
    const uint64_t distance = Read<uint16_t>(input);
    input += 2;
    if (distance == 0 || distance > output.size()) return std::nullopt;
    const uint64_t match = length(token & 15) + 4;
    for (uint64_t i = 0; i < match; ++i) output.push_back(output[output.size() - distance]);
  }
  if (output.size() != bytes) return std::nullopt;
  return output;
}

std::optional<std::string> FindInFatbin(const char* fatbin, int compute_capability,
                                        std::string* why) {
  const auto header = Read<FatbinHeader>(fatbin);
  const char* entry = fatbin + header.header_bytes;
  const char* const end = entry + header.entries_bytes;
  const char* best = nullptr;
  uint32_t best_architecture = 0;
  while (entry < end) {
    const auto fields = Read<EntryHeader>(entry);
    if (fields.kind == kPtxEntry && fields.architecture > best_architecture &&
        fields.architecture <= static_cast<uint32_t>(compute_capability)) {
      best = entry;
      best_architecture = fields.architecture;
    }
    entry += fields.header_bytes + fields.payload_bytes;
  }
  if (best == nullptr) {
    *why = "the fat binary has no PTX for compute capability " + std::to_string(compute_capability);
    return std::nullopt;
  }
  const auto fields = Read<EntryHeader>(best);
  const char* payload = best + fields.header_bytes;
  if ((fields.flags & kLz4Flag) == 0) return std::string(payload, fields.payload_bytes);
  const auto* input = reinterpret_cast<const uint8_t*>(payload);
  auto text = DecodeLz4(input, input + fields.compressed_bytes, fields.uncompressed_bytes);
  if (!text) *why = "the fat binary's compressed PTX is damaged";
  return text;
}

}  // namespace

std::optional<std::string> FindPtx(const void* image, int compute_capability, std::string* why) {
  if (const std::string& path = GetOptions().ptx; !path.empty()) {
    std::ifstream file(path, std::ios::binary);
    if (!file) Die("cannot read the PTX " + path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  if (Read<uint8_t>(image) == 0) {
    *why = "the image is empty";
    return std::nullopt;
  }
  if (Read<uint32_t>(image) == kWrapperMagic) image = Read<Wrapper>(image).data;
  const auto magic = Read<uint32_t>(image);
  if (magic == kFatbinMagic) {
    return FindInFatbin(static_cast<const char*>(image), compute_capability, why);
  }
  if (magic == kElfMagic) {
    *why = "the image is machine code, and the emulator runs PTX";
    return std::nullopt;
  }
  return std::string(static_cast<const char*>(image));
}

}  // namespace gpu_emulator
