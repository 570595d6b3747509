// How many averages each variable has: the number of lists that the op's averages make.
//
// The op's inputs are list-major: average k of variable i, of N variables, is input k * N + i.

#ifndef TF_MAVG_CC_OPS_LISTS_OF_AVERAGES_H_
#define TF_MAVG_CC_OPS_LISTS_OF_AVERAGES_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/core/formulas/moving_average.h"
#include "cc/core/formulas/split.h"

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

// The same of split averages, each of which has a remainder; the inputs are averages, remainders
// and variables in this order. There are one to kMostSplitAverages lists of each.
inline absl::Status CountSplitLists(absl::string_view op, int averages, int remainders,
                                    int variables, int* lists) {
  *lists = variables > 0 ? averages / variables : 0;
  if (*lists >= 1 && *lists <= kMostSplitAverages && *lists * variables == averages &&
      remainders == averages) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      op, ": there must be 1 to ", kMostSplitAverages, " lists of averages, each as long as the ",
      "list of variables, and a remainder of each average. Received: ", averages, " averages, ",
      remainders, " remainders and ", variables, " variables."));
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_OPS_LISTS_OF_AVERAGES_H_
