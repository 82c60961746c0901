// Whether this process may multiply tiles (AMX).
#include "sets.h"
#include "threads.h"
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

bool svlm::has_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  static const bool found = [] {
    unsigned a, b, c, d;  // of the seventh leaf, bits 22, 24 and 25: bfloat16, tiles, bytes
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 22 & 1) + (d >> 24 & 1) + (d >> 25 & 1) < 3) return false;
    // Linux keeps the tiles of a process that has asked for it: ARCH_REQ_XCOMP_PERM, 18 for tiles.
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  }();
  return found;
#else
  return false;
#endif
}

EXPORT int svlm_has_tiles() { return svlm::has_tiles(); }
