// What Python calls, by ctypes: plain functions on raw pointers. Tensors are the caller's to check.
#include <stdlib.h>

#include <algorithm>
#include <new>

#include "sets.h"
#include "threads.h"

namespace {

enum { kVersion = 7, kNumSets = 5 };
constexpr int64_t kMostRows = 1536, kFewestRows = 96;     // query rows that share a laid-out block of keys

const char *const kNames[kNumSets] = {"plain", "avx2", "avx512", "avx512_bf16", "amx"};

struct Scratch {
  char *memory = nullptr;
  size_t size = 0;
  ~Scratch() { free(memory); }
};

bool has(int set) {
#if defined(__x86_64__)
  switch (set) {
#if SVLM_HAS_AMX
    case 4: return has(3) && svlm::has_tiles();
#endif
    case 3:
      return has(2) && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") &&
             __builtin_cpu_supports("avx512vbmi");
    case 2:
      return has(1) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case 1: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
#endif
  return set == 0;
}

const svlm::AttentionSet *attention_of(int set) {
  if (!svlm::has_set(set)) return nullptr;
#if defined(__x86_64__)
  if (set == 1) return &svlm::kAttention_avx2;
  if (set == 2) return &svlm::kAttention_avx512;
  if (set == 3) return &svlm::kAttention_avx512_bf16;
#endif
#if SVLM_HAS_AMX
  if (set == 4) return &svlm::kAttention_amx;
#endif
  return &svlm::kAttention_plain;
}

int64_t bytes_of(svlm::Format format) {
  return format == svlm::kFloat32 ? 4 : format == svlm::kBfloat16 ? 2 : 1;
}

bool attend_word(const svlm::AttentionSet &set, const svlm::Attention &job, int threads) {
  int64_t row = std::max(job.key_row, job.value_row) * bytes_of(job.state_format);
  int64_t whole = 2 * row * job.num_held * job.num_heads;
  int64_t wanted = std::max<int64_t>(1, std::min<int64_t>(threads, whole / svlm::kBytesOfThread));
  int64_t parts = (wanted + job.num_heads - 1) / job.num_heads;
  int64_t size = (int64_t)svlm::whole_lines(set.word_bytes(job)), units = parts * job.num_heads;
  char *scratch = svlm::scratch_of_thread((size_t)(size * units));
  if (!scratch) return false;
  svlm::share_out(units, (int)wanted, [&](int64_t unit, int) {
    int64_t part = unit % parts;
    set.word(job, unit / parts, job.num_held * part / parts, job.num_held * (part + 1) / parts,
             scratch + unit * size);
  });
  std::vector<char *> found((size_t)parts);
  for (int64_t head = 0; head < job.num_heads; head++) {
    for (int64_t part = 0; part < parts; part++) found[(size_t)part] = scratch + (head * parts + part) * size;
    set.join(job, head, parts, found.data());
  }
  return true;
}

bool attend_block(const svlm::AttentionSet &set, svlm::Attention job, int threads) {
  int64_t longest = job.num_new;
  if (job.bounds)
    for (int64_t i = longest = 0; i < job.num_sequences; i++)
      longest = std::max(longest, job.bounds[i + 1] - job.bounds[i]);
  int64_t rows = longest * job.group, blocks = job.num_heads * job.num_sequences;
  if (rows == 0 || blocks == 0) return true;
  int64_t wanted = std::max((rows + kMostRows - 1) / kMostRows, (threads + blocks - 1) / blocks);
  wanted = std::max<int64_t>(1, std::min(wanted, rows / kFewestRows));
  job.chunk = std::max((rows + wanted - 1) / wanted, std::min<int64_t>(rows, kFewestRows));
  job.num_chunks = (rows + job.chunk - 1) / job.chunk;
  int64_t units = blocks * job.num_chunks, workers = std::min<int64_t>(threads, units);
  size_t size = svlm::whole_lines(set.scratch_bytes(job));
  char *scratch = svlm::scratch_of_thread(size * (size_t)workers);
  if (!scratch) return false;
  svlm::share_out(units, (int)workers,
                  [&](int64_t unit, int worker) { set.block(job, unit, scratch + size * (size_t)worker); });
  return true;
}

bool attend_one(const svlm::AttentionSet &set, const svlm::Attention &job, int threads) {
  return job.num_new == 1 && !job.bounds ? attend_word(set, job, threads) : attend_block(set, job, threads);
}

// One of several streams in a forward: its new and all its tokens, its cache of all layers, the cache's capacity.
struct Share {
  int64_t num_new, num_held, keys, values, capacity;
};

// Rows of new states (H, m, D), strides in bytes, behind the others of their heads.
void write_rows(const char *states, int64_t head, int64_t row, char *cache, const Share &share, int64_t num_heads,
                int64_t bytes) {
  for (int64_t h = 0; h < num_heads; h++) {
    char *at = cache + (h * share.capacity + share.num_held - share.num_new) * bytes;
    for (int64_t i = 0; i < share.num_new; i++) memcpy(at + i * bytes, states + h * head + i * row, (size_t)bytes);
  }
}

}  // namespace

bool svlm::has_set(int set) { return set >= 0 && set < kNumSets && has(set); }

char *svlm::scratch_of_thread(size_t bytes) {
  static thread_local Scratch own;
  bytes = std::max<size_t>(bytes, 64);  // at least a line: null says that memory is short
  if (own.size < bytes) {
    free(own.memory);
    own.size = 0;
    if (posix_memalign((void **)&own.memory, 64, bytes)) return own.memory = nullptr;
    own.size = bytes;
  }
  return own.memory;
}

EXPORT int svlm_version() { return kVersion; }

EXPORT const char *svlm_set_name(int set) { return set < 0 || set >= kNumSets ? nullptr : kNames[set]; }

EXPORT int svlm_has_set(int set) { return svlm::has_set(set); }

// sizes: H, g, D, m, n + m; strides: of query, key, value, out, each from head to head and from token to token,
// in numbers. Returns 0, or 1 where memory is short, 2 where the processor has no such set.
EXPORT int svlm_attend(int set, int threads, const void *query, const void *key, const void *value, void *out,
                       int query_format, int state_format, const int64_t *sizes, const int64_t *strides,
                       const int64_t *bounds, int64_t num_sequences, float scale, int is_causal) {
  const svlm::AttentionSet *kernels = attention_of(set);
  if (!kernels) return 2;
  svlm::Attention job = {(const char *)query, (const char *)key, (const char *)value, (char *)out,
                         (svlm::Format)query_format, (svlm::Format)state_format, sizes[0], sizes[1], sizes[2],
                         sizes[3], sizes[4], bounds, bounds ? num_sequences : 1, strides[0], strides[1],
                         strides[2], strides[3], strides[4], strides[5], strides[6], strides[7], scale,
                         is_causal != 0, 0, 0};
  try {
    return !attend_one(*kernels, job, threads);
  } catch (const std::bad_alloc &) {
    return 1;
  }
}

// The rows of several streams, end to end: new states are written behind each one's own in the cache of a layer
// (unless key is null: they are there), and its queries see those alone. sizes: H, g, D, the length of a row of
// the cache, the layer, the number of streams; strides: of query, key, value and out, as above; shares: a row of
// five for each stream. Returns as svlm_attend.
EXPORT int svlm_attend_shares(int set, int threads, const void *query, const void *key, const void *value, void *out,
                              int query_format, int state_format, const int64_t *sizes, const int64_t *strides,
                              const int64_t *shares, float scale) {
  const svlm::AttentionSet *kernels = attention_of(set);
  if (!kernels) return 2;
  svlm::Format format = (svlm::Format)state_format, numbers = (svlm::Format)query_format;
  int64_t num_heads = sizes[0], length = sizes[3], layer = sizes[4], count = sizes[5];
  int64_t bytes = length * bytes_of(format), number = bytes_of(numbers), held = 0;
  const Share *all = (const Share *)shares;
  std::vector<int64_t> firsts((size_t)count);
  for (int64_t i = 0, first = 0; i < count; first += all[i++].num_new) {
    firsts[(size_t)i] = first;
    held += all[i].num_held;
  }
  std::atomic<bool> has_failed{false};
  auto attend = [&](int64_t i, int own_threads) {
    const Share &share = all[i];
    int64_t first = firsts[(size_t)i], start = layer * num_heads * share.capacity * bytes;
    char *keys = (char *)share.keys + start, *values = (char *)share.values + start;
    if (key) {
      write_rows((const char *)key + first * strides[3] * number, strides[2] * number, strides[3] * number, keys, share,
                 num_heads, bytes);
      write_rows((const char *)value + first * strides[5] * number, strides[4] * number, strides[5] * number, values,
                 share, num_heads, bytes);
    }
    svlm::Attention job = {(const char *)query + first * strides[1] * number, keys, values,
                           (char *)out + first * strides[7] * number, numbers, format, num_heads, sizes[1], sizes[2],
                           share.num_new, share.num_held, nullptr, 1, strides[0], strides[1],
                           share.capacity * length, length, share.capacity * length, length, strides[6], strides[7],
                           scale, true, 0, 0};
    try {
      if (!attend_one(*kernels, job, own_threads)) has_failed = true;
    } catch (const std::bad_alloc &) {
      has_failed = true;
    }
  };
  int64_t whole = 2 * bytes * held * num_heads;
  bool is_large = whole / count / svlm::kBytesOfThread >= threads;  // each is work for all threads
  int64_t workers = is_large ? 1 : std::max<int64_t>(1, std::min<int64_t>(threads, whole / svlm::kBytesOfThread));
  try {
    svlm::share_out(count, (int)workers, [&](int64_t i, int) { attend(i, is_large ? threads : 1); });
  } catch (const std::bad_alloc &) {
    return 1;
  }
  return has_failed ? 1 : 0;
}
