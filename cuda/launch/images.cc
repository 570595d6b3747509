// Chooses among the images. See images.h for the contract.

#include "cuda/launch/images.h"

namespace tf_mavg {
namespace {

// Machine code runs on its own major compute capability from its minor one up, PTX on any from its
// own up.
bool RunsOn(const GpuImage& image, int compute_capability) {
  if (image.architecture > compute_capability) return false;
  return image.kind == ImageKind::kPtx || image.architecture / 10 == compute_capability / 10;
}

}  // namespace

TableForm LargestTableForm(int driver_version, int compute_capability) {
  return driver_version >= 12010 && compute_capability >= 70 ? TableForm::kLarge
                                                             : TableForm::kSmall;
}

const GpuImage* ChooseImage(const std::vector<GpuImage>& images, TableForm form,
                            int compute_capability, bool force_ptx) {
  const GpuImage* chosen = nullptr;
  for (const GpuImage& image : images) {
    if (image.form != form || !RunsOn(image, compute_capability)) continue;
    if (force_ptx && image.kind != ImageKind::kPtx) continue;
    const bool better =
        chosen == nullptr || (image.kind == chosen->kind ? image.architecture > chosen->architecture
                                                         : image.kind == ImageKind::kCubin);
    if (better) chosen = &image;
  }
  return chosen;
}

std::string ArchitecturesText(const std::vector<GpuImage>& images) {
  std::string text;
  for (const GpuImage& image : images) {
    if (image.form != TableForm::kSmall) continue;  // Each is there in both forms.
    if (!text.empty()) text += ", ";
    text += image.kind == ImageKind::kCubin ? "sm_" + std::to_string(image.architecture)
                                            : "PTX " + std::to_string(image.architecture / 10) +
                                                  "." + std::to_string(image.architecture % 10);
  }
  return text.empty() ? "none" : text;
}

}  // namespace tf_mavg
