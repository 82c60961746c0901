// Products with weights in float32 and bfloat16, as Python calls them.
#include <algorithm>
#include <new>

#include "sets.h"
#include "threads.h"

namespace {

int64_t bytes_of(int format) { return format == svlm::kFloat32 ? 4 : 2; }

const svlm::ProductSet *products_of(int set) {
  if (!svlm::has_set(set)) return nullptr;
#if defined(__x86_64__)
  if (set == 1) return &svlm::kProduct_avx2;
  if (set == 2) return &svlm::kProduct_avx512;
  if (set == 3) return &svlm::kProduct_avx512_bf16;
#endif
#if SVLM_HAS_AMX
  if (set == 4) return &svlm::kProduct_amx;
#endif
  return &svlm::kProduct_plain;
}

bool multiply(const svlm::ProductSet &set, svlm::Product job, int threads) {
  int64_t number = bytes_of(job.format), num_panels = (job.outputs + set.columns - 1) / set.columns;
  int64_t worth = job.outputs * job.size * number * std::max<int64_t>(1, job.rows / 4) / svlm::kBytesOfThread;
  int64_t workers = std::max<int64_t>(1, std::min<int64_t>({threads, worth, num_panels}));
  int64_t units = job.rows <= 8 || workers == 1 ? workers : std::min<int64_t>(num_panels, workers * 8);
  size_t prepared = svlm::whole_lines(set.prepared_bytes(job)), own = svlm::whole_lines(set.scratch_bytes(job));
  char *scratch = svlm::scratch_of_thread(prepared + own * (size_t)workers);
  if (!scratch) return false;
  if (prepared) {
    set.prepare(job, scratch);
    job.inputs = scratch;
    job.stride = (job.size + 1) / 2 * 2;
  }
  svlm::share_out(units, (int)workers, [&](int64_t unit, int worker) {
    set.panels(job, num_panels * unit / units, num_panels * (unit + 1) / units,
               scratch + prepared + own * (size_t)worker);
  });
  return true;
}

// Calls work(first, count) for rows of so many bytes, in as many threads as they are worth.
template <class Work>
void share_rows(int threads, int64_t rows, int64_t bytes, const Work &work) {
  int64_t parts = std::max<int64_t>(1, std::min<int64_t>({threads, rows, rows * bytes / svlm::kBytesOfThread}));
  svlm::share_out(parts, (int)parts, [&](int64_t part, int) {
    int64_t first = rows * part / parts;
    work(first, rows * (part + 1) / parts - first);
  });
}

}  // namespace

// Bytes of weights (outputs, size) in panels; -1 where the processor has no such set.
EXPORT int64_t svlm_panel_bytes(int set, int format, int64_t outputs, int64_t size) {
  const svlm::ProductSet *kernels = products_of(set);
  if (!kernels) return -1;
  int64_t pair = format == svlm::kFloat32 ? 1 : 2;
  return (outputs + kernels->vector - 1) / kernels->vector * kernels->vector * ((size + pair - 1) / pair) * 4;
}

// Rows [first, first + count) of weights to their places in panels, which are zeros where nothing was laid.
EXPORT int svlm_lay_panels(int set, int format, int64_t outputs, int64_t size, const void *rows, int64_t first,
                           int64_t count, void *panels) {
  const svlm::ProductSet *kernels = products_of(set);
  if (!kernels) return 2;
  svlm::Product job = {nullptr, nullptr, nullptr, nullptr, (svlm::Format)format, 0, size, outputs, size};
  kernels->lay(job, (const char *)rows, first, count, (char *)panels);
  return 0;
}

// Panels to the rows they were made of.
EXPORT int svlm_take_panels(int set, int format, int64_t outputs, int64_t size, const void *panels, void *rows) {
  const svlm::ProductSet *kernels = products_of(set);
  if (!kernels) return 2;
  svlm::Product job = {nullptr, (const char *)panels, nullptr, nullptr, (svlm::Format)format, 0, size, outputs, size};
  kernels->take(job, (char *)rows);
  return 0;
}

// out (rows, outputs) = inputs (rows, size) times weights in panels, and a bias or null. Returns as svlm_attend.
EXPORT int svlm_panels_product(int set, int threads, int format, const void *inputs, int64_t rows, int64_t size,
                               const void *panels, const float *bias, int64_t outputs, void *out) {
  const svlm::ProductSet *kernels = products_of(set);
  if (!kernels) return 2;
  svlm::Product job = {(const char *)inputs, (const char *)panels, bias, (char *)out, (svlm::Format)format, rows,
                       size, outputs, size};
  try {
    return !multiply(*kernels, job, threads);
  } catch (const std::bad_alloc &) {
    return 1;
  }
}

// Rows (rows, size) over their root mean square, times weights (size).
EXPORT int svlm_norm(int set, int threads, int format, const char *from, const char *weights, int64_t rows,
                     int64_t size, float epsilon, char *to) {
  const svlm::ProductSet *kernels = products_of(set);
  if (!kernels) return 2;
  int64_t bytes = size * bytes_of(format);
  share_rows(threads, rows, bytes, [&](int64_t first, int64_t count) {
    kernels->norm((svlm::Format)format, from + first * bytes, weights, count, size, epsilon, to + first * bytes);
  });
  return 0;
}

// Rows (rows, 2 * size) of gates and values to SwiGLU (rows, size).
EXPORT int svlm_gate(int set, int threads, int format, const char *from, int64_t rows, int64_t size, char *to) {
  const svlm::ProductSet *kernels = products_of(set);
  if (!kernels) return 2;
  int64_t bytes = size * bytes_of(format);
  share_rows(threads, rows, 2 * bytes, [&](int64_t first, int64_t count) {
    kernels->gate((svlm::Format)format, from + first * 2 * bytes, count, size, to + first * bytes);
  });
  return 0;
}

// Heads (rows, heads, 2 * half), rows `stride` numbers apart, turned by angles (rows, half) of their own format.
EXPORT int svlm_turn(int set, int threads, int format, int angle_format, const char *from, int64_t stride,
                     const char *cosines, const char *sines, int64_t rows, int64_t heads, int64_t half, char *to) {
  const svlm::ProductSet *kernels = products_of(set);
  if (!kernels) return 2;
  int64_t number = bytes_of(format), angles = half * bytes_of(angle_format), bytes = heads * 2 * half * number;
  share_rows(threads, rows, bytes, [&](int64_t first, int64_t count) {
    kernels->turn((svlm::Format)format, (svlm::Format)angle_format, from + first * stride * number, stride,
                  cosines + first * angles, sines + first * angles, count, heads, half, to + first * bytes);
  });
  return 0;
}
