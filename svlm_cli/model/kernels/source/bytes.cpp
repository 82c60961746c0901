// Products with weights in signed bytes, as Python calls them.
#include "bytes.h"

#include <algorithm>
#include <new>

#include "sets.h"
#include "threads.h"
#if defined(__x86_64__)
#include <cpuid.h>

#include "vnni.h"
#endif

namespace {

const svlm::ByteSet *kernels_of(int set) {
#if defined(__x86_64__)
  return svlm::set_of(set, svlm::kBytes_avx2, svlm::kBytes_vnni);
#else
  return nullptr;
#endif
}

svlm::Product job_of(int64_t outputs, int64_t size, const int8_t *panels) {
  return {nullptr, (const char *)panels, nullptr, nullptr, svlm::kInt8, 0, size, outputs, size};
}

}  // namespace

int svlm::byte_set() {
#if defined(__x86_64__)
  static const int found = [] {  // once: asking the processor is slow in a virtual machine
    if (has_vnni()) return 2;
    unsigned a, b, c, d;  // F16C, which compilers before 2021 cannot be asked for, is the 29th of these
    return svlm::has_set(1) && __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1) ? 1 : 0;
  }();
  return found;
#else
  return 0;
#endif
}

EXPORT int svlm_byte_set() { return svlm::byte_set(); }

// Bytes of weights (outputs, size) in panels; -1 where the processor has no such set.
EXPORT int64_t svlm_byte_panel_bytes(int set, int64_t outputs, int64_t size) {
  const svlm::ByteSet *kernels = kernels_of(set);
  if (!kernels) return -1;
  return (outputs + kernels->vector - 1) / kernels->vector * kernels->vector * ((size + 3) / 4 * 4);
}

// As svlm_lay_panels and svlm_take_panels.
EXPORT int svlm_lay_byte_panels(int set, int64_t outputs, int64_t size, const int8_t *rows, int64_t first,
                                int64_t count, int8_t *panels) {
  const svlm::ByteSet *kernels = kernels_of(set);
  if (!kernels) return 2;
  kernels->lay(job_of(outputs, size, nullptr), rows, first, count, panels);
  return 0;
}
EXPORT int svlm_take_byte_panels(int set, int64_t outputs, int64_t size, const int8_t *panels, int8_t *rows) {
  const svlm::ByteSet *kernels = kernels_of(set);
  if (!kernels) return 2;
  kernels->take(job_of(outputs, size, panels), rows);
  return 0;
}

// out (rows, outputs) = inputs (rows, size) times weights in panels with a scale each, whose sums are given. Returns
// as svlm_attend.
EXPORT int svlm_byte_panels_product(int set, int threads, const void *inputs, int is_bf16, int64_t rows, int64_t size,
                                    const int8_t *panels, const float *scales, const int32_t *sums,
                                    const float *bias, int64_t outputs, void *out) {
  const svlm::ByteSet *kernels = kernels_of(set);
  if (!kernels) return 2;
  // Rows a multiple of 4 KiB apart would all want the same few places next to the processor.
  int64_t depth = (size + 3) / 4 * 4, stride = depth % 512 ? depth : depth + 64;
  int64_t num_panels = (outputs + kernels->columns - 1) / kernels->columns;
  int64_t worth = outputs * size * std::max<int64_t>(1, rows / 4) / svlm::kBytesOfThread;
  int64_t workers = std::max<int64_t>(1, std::min<int64_t>({threads, worth, num_panels}));
  int64_t units = rows <= 8 || workers == 1 ? workers : std::min<int64_t>(num_panels, workers * 8);
  size_t taken = svlm::whole_lines((size_t)(rows * stride) + 64), own_scales = svlm::whole_lines((size_t)rows * 4);
  svlm::Product job = job_of(outputs, size, panels);
  job.rows = rows;
  job.stride = stride;
  size_t own = svlm::whole_lines(kernels->scratch_bytes(job));
  char *memory = svlm::scratch_of_thread(taken + own_scales + own * (size_t)workers);
  if (!memory) return 1;
  float *row_scales = (float *)(memory + taken);
  if (stride != size) memset(memory, 0, (size_t)(rows * stride));
  kernels->to_bytes((const char *)inputs, is_bf16 != 0, rows, size, (int8_t *)memory, stride, row_scales);
  job.inputs = memory;
  svlm::Scaled put = {row_scales, scales, bias, sums, (char *)out, outputs, is_bf16 != 0};
  char *scratch = memory + taken + own_scales;
  try {
    svlm::share_out(units, (int)workers, [&](int64_t unit, int worker) {
      kernels->panels(job, num_panels * unit / units, num_panels * (unit + 1) / units,
                      scratch + own * (size_t)worker, put);
    });
  } catch (const std::bad_alloc &) {
    return 1;
  }
  return 0;
}
