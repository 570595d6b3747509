// The compiled kernels, and which of them a device can run.
//
// Images are immutable and live as long as the program.

#ifndef TF_MAVG_CUDA_LAUNCH_IMAGES_H_
#define TF_MAVG_CUDA_LAUNCH_IMAGES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace tf_mavg {

enum class ImageKind : int { kCubin, kPtx };
inline constexpr const char* kImageKindNames[] = {"cubin", "ptx"};

// The form of the table that an image's kernels take, see cuda/tables/table.h. The large one is
// in images of its own, so that a driver that does not know it never sees it.
enum class TableForm : int { kSmall, kLarge };
inline constexpr int kTableForms = 2;
inline constexpr const char* kTableFormNames[kTableForms] = {"small", "large"};

struct GpuImage {
  int architecture;  // A compute capability: 90 is 9.0.
  ImageKind kind;
  TableForm form;
  const char* data;  // PTX ends with a zero byte, which `bytes` includes.
  int64_t bytes;
};

// Of the library that all which launch kernels share; the file that compile_kernels.py writes.
__attribute__((visibility("default"))) const std::vector<GpuImage>& EmbeddedImages();

// The largest form that the driver and the device take.
TableForm LargestTableForm(int driver_version, int compute_capability);

// The image to load: machine code for the device, or else PTX for the driver to compile; with
// `force_ptx`, only PTX. Null if there is none.
const GpuImage* ChooseImage(const std::vector<GpuImage>& images, TableForm form,
                            int compute_capability, bool force_ptx);

// "sm_80, sm_90, PTX 7.0"
std::string ArchitecturesText(const std::vector<GpuImage>& images);

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_LAUNCH_IMAGES_H_
