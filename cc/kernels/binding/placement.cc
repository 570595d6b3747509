// Places buffers in pieces of memory. See placement.h for the contract.

#include "cc/kernels/binding/placement.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "tensorflow/core/common_runtime/dma_helper.h"
#include "tensorflow/core/framework/allocation_description.pb.h"
#include "tensorflow/core/framework/tensor.h"

namespace tf_mavg {
namespace {

using ::tensorflow::DMAHelper;
using ::tensorflow::Tensor;
using ::tensorflow::TensorBuffer;

constexpr size_t kHugePageBytes = 2 << 20;  // Of x86-64, and of most others.
// So much a variable keeps that outlives the others of its piece.
constexpr size_t kMostBytesOfPiece = 8 << 20;
// A larger buffer begins so seldom that it may stay.
constexpr size_t kMostBytesOfBuffer = 1 << 20;
// TensorFlow's own (EIGEN_MAX_ALIGN_BYTES): a line of the cache.
constexpr size_t kAlignment = 64;

constexpr size_t Rounded(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

using Piece = std::shared_ptr<void>;

// Null if there is no memory.
Piece NewPiece(size_t bytes) {
  const bool is_huge = bytes >= kHugePageBytes;
  void* begin = nullptr;
  // Not aligned_alloc: allocators other than glibc's may refuse a size that is no multiple.
  if (posix_memalign(&begin, is_huge ? kHugePageBytes : kAlignment, bytes) != 0) return nullptr;
  // Before anything is written, and where the system allows it. What is over keeps its pages.
  if (is_huge) madvise(begin, bytes / kHugePageBytes * kHugePageBytes, MADV_HUGEPAGE);
  return Piece(begin, std::free);
}

class PlacedBuffer : public TensorBuffer {
 public:
  PlacedBuffer(Piece piece, void* data, size_t size)
      : TensorBuffer(data), piece_(std::move(piece)), size_(size) {}

  size_t size() const override { return size_; }
  TensorBuffer* root_buffer() override { return this; }
  void FillAllocationDescription(tensorflow::AllocationDescription* proto) const override {
    proto->set_requested_bytes(size_);
    proto->set_allocator_name("tf_mavg");
  }

 private:
  const Piece piece_;
  const size_t size_;
};

bool IsPlaced(const Tensor& tensor) {
  return dynamic_cast<const PlacedBuffer*>(DMAHelper::buffer(&tensor)) != nullptr;
}

bool CanBePlaced(const LockedVariable& variable) {
  if (!variable.initialized()) return false;
  const size_t bytes = variable.tensor().TotalBytes();
  return bytes > 0 && bytes <= kMostBytesOfBuffer && !IsPlaced(variable.tensor());
}

// Copies the tensors' buffers into one piece.
void PlaceInOnePiece(const std::vector<LockedVariable>& variables, size_t bytes) {
  const Piece piece = NewPiece(bytes);
  if (piece == nullptr) return;
  char* next = static_cast<char*>(piece.get());
  for (const LockedVariable& variable : variables) {
    const Tensor& from = variable.tensor();
    const size_t size = from.TotalBytes();
    std::memcpy(next, from.data(), size);
    const tensorflow::core::RefCountPtr<TensorBuffer> buffer(new PlacedBuffer(piece, next, size));
    variable.Replace(Tensor(from.dtype(), from.shape(), buffer.get()));
    next += Rounded(size);
  }
}

}  // namespace

void PlaceSideBySide(tensorflow::OpKernelContext* ctx, const VariableLists& lists) {
  LockedLists locked(ctx, lists, std::vector<Access>(lists.depth(), Access::kWrite));
  std::vector<LockedVariable> together;
  size_t bytes = 0;
  for (int position = 0; position < lists.size(); ++position) {
    for (int side = 0; side < lists.depth(); ++side) {
      const LockedVariable variable = locked.variable(side, position);
      if (!CanBePlaced(variable)) continue;
      const size_t more = Rounded(variable.tensor().TotalBytes());
      if (bytes + more > kMostBytesOfPiece) {
        PlaceInOnePiece(together, bytes);
        together.clear();
        bytes = 0;
      }
      together.push_back(variable);
      bytes += more;
    }
  }
  if (together.size() > 1) PlaceInOnePiece(together, bytes);
}

}  // namespace tf_mavg
