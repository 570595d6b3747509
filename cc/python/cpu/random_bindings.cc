// The random bits of stochastic rounding and what they do to one number, for tests: the portable
// code, element by element, which every instruction level and device must agree with.

#include "cc/python/cpu/random_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>

#include "cc/core/formulas/random_bits.h"
#include "cc/core/formulas/stochastic_rounding.h"
#include "cc/core/half.h"
#include "cc/python/arrays/array_lists.h"

namespace py = pybind11;

namespace tf_mavg {
namespace {

template <typename Element>
using Contiguous = py::array_t<Element, py::array::c_style>;

Contiguous<uint32_t> RandomBitsOf(const Key& key, int64_t offset, int64_t count) {
  const uint64_t state = StateOf(key.data());
  Contiguous<uint32_t> words(count);
  for (int64_t i = 0; i < count; ++i) {
    const RandomStream stream = StreamAt(state, offset + i);
    words.mutable_data()[i] = RandomBits(stream.first, stream.middle);
  }
  return words;
}

template <typename Half>
void RoundAll(const float* numbers, const uint32_t* random, py::ssize_t count, uint16_t* rounded) {
  for (py::ssize_t i = 0; i < count; ++i) {
    Half half;
    NarrowStochastically(numbers[i], random[i], &half);
    rounded[i] = half.bits;
  }
}

Contiguous<uint16_t> RoundStochastically(const Contiguous<float>& numbers,
                                         const Contiguous<uint32_t>& random,
                                         const std::string& dtype) {
  if (numbers.size() != random.size()) {
    throw py::value_error("There must be as many random words as numbers.");
  }
  Contiguous<uint16_t> rounded(numbers.size());
#define TF_MAVG_ROUND(name, Half)                                                          \
  if (dtype == #name) {                                                                    \
    RoundAll<Half>(numbers.data(), random.data(), numbers.size(), rounded.mutable_data()); \
    return rounded;                                                                        \
  }
  TF_MAVG_FOR_EACH_HALF(TF_MAVG_ROUND)
#undef TF_MAVG_ROUND
  throw py::type_error("dtype must be float16 or bfloat16. Received: " + dtype);
}

}  // namespace

void BindRandom(py::module_& module) {
  module.def("random_bits", &RandomBitsOf, py::arg("key"), py::arg("offset"), py::arg("count"),
             "The words that elements from an offset on draw; a key is seed, update, average.");
  module.def("round_stochastically", &RoundStochastically, py::arg("numbers"), py::arg("random"),
             py::arg("dtype"), "The bits of float32 numbers in half precision, by these words.");
}

}  // namespace tf_mavg
