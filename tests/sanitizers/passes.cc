// Every pass of the CPU, at every instruction level of this processor, divided among threads as the
// ops divide it. Prints what came out otherwise than from one thread, and ends with 1 then.

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "cc/core/chunk_plan.h"
#include "cc/core/cpu/cpu_kernels.h"
#include "cc/core/cpu/cpu_pass.h"
#include "cc/core/cpu/lazy_rows_pass.h"
#include "cc/core/cpu/split_moving_average_pass.h"
#include "cc/core/formulas/lazy_rows.h"
#include "cc/core/formulas/split.h"
#include "cc/python/arrays/on_threads.h"
#include "tests/sanitizers/buffers.h"

namespace tf_mavg {
namespace {

constexpr int kThreads = 4;
constexpr int64_t kChunkElements = 1024;
constexpr float kRates[] = {0.25f, kCopy, kKeep, 0.5f};
constexpr int64_t kKeys[] = {1, 2, 0, 1, 2, 1};

std::atomic<int> failures(0);

void Expect(bool right, const std::string& what) {
  if (right) return;
  std::fprintf(stderr, "%s is not what one thread makes of it.\n", what.c_str());
  ++failures;
}

template <typename Pass>
void Run(const Lists& lists, int threads, const Pass& pass) {
  const ChunkPlan plan(lists.elements(), kChunkElements);
  OnThreads(threads, [&](int part) {
    plan.ForEachSpan(plan.chunks() * part / threads, plan.chunks() * (part + 1) / threads, pass);
  });
}

// Calls run(lists, threads) for buffers that one thread works on, and for others of many.
template <typename Work>
void Compare(const std::vector<int64_t>& element_bytes, const std::string& what, const Work& work) {
  Buffers alone(element_bytes);
  Buffers shared(element_bytes);
  work(alone.lists(), 1);
  work(shared.lists(), kThreads);
  Expect(shared.SameAs(alone), what);
}

void UpdateAndSwap(const CpuKernels& kernels, Dtypes dtypes, const std::string& what) {
  const DtypesFacts& facts = FactsOf(dtypes);
  for (int averages = 1; averages <= kMostAverages; averages += 3) {
    std::vector<int64_t> bytes(averages, facts.average_bytes);
    bytes.push_back(facts.variable_bytes);
    Compare(bytes, what + ": update", [&](const Lists& lists, int threads) {
      Run(lists, threads, MovingAveragePass(kernels, dtypes, lists, kRates));
    });
  }
  if (CanRoundStochastically(dtypes)) {
    Compare({2, 2, 2}, what + ": stochastic update", [&](const Lists& lists, int threads) {
      Run(lists, threads, StochasticAveragePass(kernels, dtypes, lists, kRates, kKeys));
    });
  }
  const int64_t bytes = facts.variable_bytes;
  Compare({bytes, bytes}, what + ": swap", [&](const Lists& lists, int threads) {
    Run(lists, threads, SwapPass(kernels, bytes, lists));
  });
  // All threads report to one answer.
  const Buffers variables({bytes});
  std::atomic<bool> all_finite(true);
  Run(variables.lists(), kThreads, AllFinitePass(kernels, dtypes, variables.lists(), &all_finite));
  Expect(all_finite, what + ": all finite");
  const Lists& lists = variables.lists();
  for (int i = 0; i < lists.size(); ++i) {
    std::memset(lists.buffer(0, i), 0xff, variables.Bytes(0, i));
  }
  Run(lists, kThreads, AllFinitePass(kernels, dtypes, lists, &all_finite));
  Expect(!all_finite, what + ": not all finite");
}

// The average, its counters and its clock, after threads have caught up rows, which they share.
std::vector<double> CaughtUp(const CpuKernels& kernels, int threads) {
  constexpr int64_t kRows = 500;
  constexpr int64_t kWidth = 33;
  constexpr int64_t kCapacity = 8;
  std::vector<double> average(kRows * kWidth, 1.0);
  const std::vector<double> variable(kRows * kWidth, 3.0);
  std::vector<int64_t> seen(kRows);
  std::vector<double> clock(ClockElements(kCapacity));
  RestartClock(clock.data());
  std::vector<int32_t> rows;
  for (int i = 0; i < 4000; ++i) rows.push_back(i * 37 % (kRows - 1));  // Each by several threads.
  const RowTable table = {average.data(),           variable.data(), seen.data(), clock.data(),
                          ClockElements(kCapacity), kRows,           kWidth};
  const CatchUpRowsPass<int32_t> some(kernels, Dtypes::float64, table, rows.data());
  const CatchUpAllRowsPass all(kernels, Dtypes::float64, table);
  const auto run = [&](int64_t count, const auto& pass) {
    OnThreads(threads,
              [&](int part) { pass(count * part / threads, count * (part + 1) / threads); });
  };
  for (int step = 0; step < 3; ++step) {
    AdvanceClock(clock.data(), 0.25f);
    run(static_cast<int64_t>(rows.size()), some);
  }
  run(kRows, all);
  return average;
}

void RunLevel(CpuLevel level) {
  const CpuKernels& kernels = KernelsOf(level);
  const std::string name = NameOf(level);
  for (int i = 0; i < kDtypesCount; ++i) {
    UpdateAndSwap(kernels, static_cast<Dtypes>(i), name + ", " + kDtypes[i].name);
  }
  for (int averages = 1; averages <= kMostSplitAverages; ++averages) {
    Compare(std::vector<int64_t>(2 * averages + 1, 2), name + ": split update",
            [&](const Lists& lists, int threads) {
              Run(lists, threads, SplitMovingAveragePass(kernels, lists, kRates));
            });
  }
  Expect(CaughtUp(kernels, kThreads) == CaughtUp(kernels, 1), name + ": rows");
}

}  // namespace
}  // namespace tf_mavg

int main() {
  using namespace tf_mavg;
  OnThreads(kThreads, [](int) { Expect(ActiveCpuLevel() <= SupportedCpuLevel(), "The level"); });
  // All levels at once.
  OnThreads(static_cast<int>(SupportedCpuLevel()) + 1,
            [](int level) { RunLevel(static_cast<CpuLevel>(level)); });
  return failures == 0 ? 0 : 1;
}
