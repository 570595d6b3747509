// In place of a header of LLVM that TensorFlow 2.19's wheel lacks. See ArrayRef.h.

#ifndef TF_MAVG_CC_XLA_ABSENT_LLVM_ADT_SMALLVECTOR_H_
#define TF_MAVG_CC_XLA_ABSENT_LLVM_ADT_SMALLVECTOR_H_

namespace llvm {

template <typename T>
struct SmallVector {};

}  // namespace llvm

#endif  // TF_MAVG_CC_XLA_ABSENT_LLVM_ADT_SMALLVECTOR_H_
