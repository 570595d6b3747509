// Finds the PTX text in what a program hands to cuModuleLoadData. Stateless.
#pragma once

#include <optional>
#include <string>

namespace gpu_emulator {

// The image is PTX text, a fat binary (of which the newest PTX that the compute capability allows
// is taken) or a cubin. Empty when there is no PTX in it: `why` then says what there was. With the
// option PTX, its file is read whatever the image is.
std::optional<std::string> FindPtx(const void* image, int compute_capability, std::string* why);

}  // namespace gpu_emulator
