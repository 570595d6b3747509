// The builder of XLA's programs, wherever this version of TensorFlow has its headers.

#ifndef TF_MAVG_CC_XLA_XLA_BUILDER_H_
#define TF_MAVG_CC_XLA_XLA_BUILDER_H_

#if __has_include("xla/hlo/builder/xla_builder.h")
#include "xla/hlo/builder/lib/arithmetic.h"
#include "xla/hlo/builder/xla_builder.h"
#else  // TensorFlow 2.18
#include "xla/client/lib/arithmetic.h"
#include "xla/client/xla_builder.h"
#endif

#endif  // TF_MAVG_CC_XLA_XLA_BUILDER_H_
