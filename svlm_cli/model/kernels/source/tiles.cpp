// Whether products of tiles (AMX) may be used here.
#include "sets.h"
#include "threads.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if SVLM_HAS_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

bool processor_has_tiles() {
#if defined(__x86_64__)
  unsigned a, b, c, d;  // of the seventh leaf, bits 22, 24 and 25: bfloat16, tiles, bytes
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1) && (d >> 25 & 1);
#else
  return false;
#endif
}

}  // namespace

bool svlm::has_tiles() {
#if SVLM_HAS_AMX
  // Linux keeps a thread's tiles for a process that has asked for it (arch_prctl: ARCH_REQ_XCOMP_PERM, 18 for tiles).
  static const bool found = processor_has_tiles() && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return found;
#else
  return false;
#endif
}

// Whether the processor has tiles, whoever may use them.
EXPORT int svlm_has_tiles() { return processor_has_tiles(); }
