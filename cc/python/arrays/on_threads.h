// Work divided among threads of its own: no pool, so a call costs the starting of the threads.

#ifndef TF_MAVG_CC_PYTHON_ARRAYS_ON_THREADS_H_
#define TF_MAVG_CC_PYTHON_ARRAYS_ON_THREADS_H_

#include <thread>
#include <vector>

namespace tf_mavg {

// Calls work(part) for 0 <= part < parts, each on a thread of its own, and waits for all.
template <typename Work>
void OnThreads(int parts, const Work& work) {
  std::vector<std::thread> threads;
  for (int part = 1; part < parts; ++part) threads.emplace_back(work, part);
  work(0);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace tf_mavg

#endif  // TF_MAVG_CC_PYTHON_ARRAYS_ON_THREADS_H_
