// In place of a header of LLVM that TensorFlow 2.19's headers include, and its wheel lacks.
//
// One class there, TmaDescriptor, has such members. Nothing here makes, reads or calls one: the
// names only have to be declared. The compiler looks here after TensorFlow's own headers.

#ifndef TF_MAVG_CC_XLA_ABSENT_LLVM_ADT_ARRAYREF_H_
#define TF_MAVG_CC_XLA_ABSENT_LLVM_ADT_ARRAYREF_H_

namespace llvm {

template <typename T>
struct ArrayRef {
  template <typename Container>
  ArrayRef(const Container&) {}  // NOLINT: implicit, as LLVM's is.
};

}  // namespace llvm

#endif  // TF_MAVG_CC_XLA_ABSENT_LLVM_ADT_ARRAYREF_H_
