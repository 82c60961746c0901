// Work in units, shared out among threads that live as long as the call: no pool that a fork could break or
// that would spin while somebody else computes.
#pragma once
#include <stdint.h>

#include <atomic>
#include <thread>
#include <vector>

// Of functions that Python calls, by ctypes.
#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace svlm {

constexpr int64_t kBytesOfThread = 1 << 19;  // of weights, keys and values that a thread is worth

// Calls work(unit, worker) for every unit below `num_units`; workers are numbered, 0 is the caller.
template <class Work>
void share_out(int64_t num_units, int num_threads, const Work &work) {
  if (num_threads > num_units) num_threads = (int)num_units;
  std::atomic<int64_t> next{0};
  auto run = [&](int worker) {
    for (int64_t unit; (unit = next.fetch_add(1)) < num_units;) work(unit, worker);
  };
  std::vector<std::thread> others;
  try {
    for (int worker = 1; worker < num_threads; worker++) others.emplace_back(run, worker);
  } catch (...) {  // no more threads are to be had: fewer do it
  }
  run(0);
  for (auto &other : others) other.join();
}

// Memory of the calling thread that is kept from call to call, at 64 bytes; null where there is none.
char *scratch_of_thread(size_t bytes);

}  // namespace svlm
