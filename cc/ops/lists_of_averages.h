// How many averages each variable has: the number of lists that the op's averages make.
//
// The op's inputs are list-major: average k of variable i, of N variables, is input k * N + i.

#ifndef TF_MAVG_CC_OPS_LISTS_OF_AVERAGES_H_
#define TF_MAVG_CC_OPS_LISTS_OF_AVERAGES_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/core/moving_average.h"

namespace tf_mavg {

// Divides the numbers; an error of the op if they do not make one to kMostAverages whole lists.
inline absl::Status CountLists(absl::string_view op, int averages, int variables, int* lists) {
  *lists = variables > 0 ? averages / variables : 0;
  if (*lists >= 1 && *lists <= kMostAverages && *lists * variables == averages) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(op, ": there must be 1 to ", kMostAverages,
                                                 " lists of averages, each as long ",
                                                 "as the list of variables. Received: ", averages,
                                                 " averages and ", variables, " variables."));
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_OPS_LISTS_OF_AVERAGES_H_
