// Has the system back large buffers by huge pages, where they lie and with what they hold.
//
// Rows that a step touches lie anywhere in a table. In pages of 4 KiB the processor looks up one
// for each of them, which costs more than half of what reading the row does; one of 2 MiB is found
// at once.

#ifndef TF_MAVG_CC_KERNELS_LAZY_ROWS_HUGE_PAGES_H_
#define TF_MAVG_CC_KERNELS_LAZY_ROWS_HUGE_PAGES_H_

#include <cstddef>

namespace tf_mavg {

// Asks for huge pages under a buffer of some MiB, once for each buffer at one place. The system
// copies what is there, of the first GiB at once: measured, 256 MiB take 0.2 to 0.9 s on a machine
// that is busy. Values do not change, and nobody need hold them still. Where the system
// has no such pages or does not allow them, nothing changes.
void UseHugePages(const void* buffer, size_t bytes);

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_KERNELS_LAZY_ROWS_HUGE_PAGES_H_
