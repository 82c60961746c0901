// Attention of one token: its g rows over keys where they lie, each read once, at the speed of memory.

// How the states of a format are read, by steps of STEP numbers into PARTS vectors. Bfloat16 without products
// of its own falls into even and odd numbers.
template <svlm::Format kFormat>
struct Lane;
template <>
struct Lane<svlm::kFloat32> {
  enum { STEP = W, PARTS = 1, BYTES = 4 };
  static INLINE void read(const char *from, int64_t left, vf to[1]) { to[0] = (vf)load_part(from, left * 4); }
};
template <>
struct Lane<svlm::kInt8> {
  enum { STEP = W, PARTS = 1, BYTES = 1 };
  static INLINE void read(const char *from, int64_t left, vf to[1]) {
    if (left >= W) {
      to[0] = from_int8((const int8_t *)from);
      return;
    }
    int8_t part[W] = {};
    memcpy(part, from, (size_t)left);
    to[0] = from_int8(part);
  }
};
template <>
struct Lane<svlm::kBfloat16> {
  enum { STEP = 2 * W, PARTS = 2, BYTES = 2 };
  static INLINE void read(const char *from, int64_t left, vf to[2]) {
    vi pairs = load_part(from, left * 2);
    to[0] = even_of(pairs), to[1] = odd_of(pairs);
  }
};

template <svlm::Format kFormat>
struct Floats {  // everything in float32
  typedef PlainProduct P;
  typedef Lane<kFormat> L;
  enum { STEP = L::STEP, PARTS = L::PARTS, QUERY_STEP = STEP, KEYS_AT_ONCE = 1 };
  enum { MOST_STEPS = (SVLM_MANY_REGISTERS ? 8 : 4) / PARTS };
  // Queries as the keys are read: (steps, parts, W).
  static INLINE void lay_query(const float *row, int64_t steps, float *to) {
    for (int64_t s = 0; s < steps; s++)
      for (int p = 0; p < PARTS; p++)
        for (int i = 0; i < W; i++) *to++ = row[s * STEP + i * PARTS + p];
  }
  template <int R>
  static INLINE void dot(vf sums[R], const char *key, int64_t left, const float *query, int64_t query_row) {
    vf k[PARTS];
    L::read(key, left, k);
    UNROLL for (int r = 0; r < R; r++)
      UNROLL for (int p = 0; p < PARTS; p++) sums[r] += k[p] * load(query + r * query_row + p * W);
  }
  template <int R, int S>
  static INLINE void add(vf sums[R][S][PARTS], const char *value, const char *, int64_t left,
                         const float *weights, int64_t weight_row) {
    vf v[S][PARTS];
    UNROLL for (int s = 0; s < S; s++) L::read(value + s * STEP * L::BYTES, left - s * STEP, v[s]);
    UNROLL for (int r = 0; r < R; r++)
      UNROLL for (int s = 0; s < S; s++)
        UNROLL for (int p = 0; p < PARTS; p++) sums[r][s][p] += all(weights[r * weight_row]) * v[s][p];
  }
  static INLINE int64_t place(int64_t d) { return d / STEP * STEP + d % PARTS * W + d % STEP / PARTS; }
};

#if SVLM_DOT_BF16
struct Pairs {  // bfloat16 as it is
  typedef PairProduct P;
  enum { STEP = 2 * W, PARTS = 2, QUERY_STEP = W, KEYS_AT_ONCE = 2, MOST_STEPS = 4 };
  static INLINE void lay_query(const float *row, int64_t steps, float *to) {
    for (int64_t d = 0; d < steps * STEP; d++) ((bf16 *)to)[d] = to_bf16(row[d]);
  }
  template <int R>
  static INLINE void dot(vf sums[R], const char *key, int64_t left, const float *query, int64_t query_row) {
    vi k = load_part(key, left * 2);
    UNROLL for (int r = 0; r < R; r++) {
      vi q = load_bits((const bf16 *)(query + r * query_row));
      sums[r] = (vf)_mm512_dpbf16_ps((__m512)sums[r], (__m512bh)k, (__m512bh)q);
    }
  }
  template <int R, int S>
  static INLINE void add(vf sums[R][S][2], const char *value, const char *next, int64_t left,
                         const bf16 *weights, int64_t weight_row) {
    static const bf16 kOrder[2][32] = {
        {0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14,
         46, 15, 47},
        {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29,
         61, 30, 62, 31, 63}};
    __m512i low = _mm512_loadu_si512(kOrder[0]), high = _mm512_loadu_si512(kOrder[1]);
    UNROLL for (int s = 0; s < S; s++) {
      __m512i a = (__m512i)load_part(value + s * STEP * 2, (left - s * STEP) * 2);
      __m512i b = (__m512i)load_part(next + s * STEP * 2, (left - s * STEP) * 2);
      __m512bh first = (__m512bh)_mm512_permutex2var_epi16(a, low, b);
      __m512bh second = (__m512bh)_mm512_permutex2var_epi16(a, high, b);
      UNROLL for (int r = 0; r < R; r++) {
        int32_t pair;
        memcpy(&pair, weights + r * weight_row, 4);
        __m512bh weight = (__m512bh)_mm512_set1_epi32(pair);
        sums[r][s][0] = (vf)_mm512_dpbf16_ps((__m512)sums[r][s][0], first, weight);
        sums[r][s][1] = (vf)_mm512_dpbf16_ps((__m512)sums[r][s][1], second, weight);
      }
    }
  }
  static INLINE int64_t place(int64_t d) { return d; }
};
#endif

// Rows that will be read soon, which memory is to bring: going from keys to values and back, it would not begin
// by itself.
struct Ahead {
  const char *rows;
  int64_t row_bytes;
  INLINE void fetch(int64_t first, int64_t count) const {
    if (rows)
      for (int64_t i = 0; i < count * row_bytes; i += 64) __builtin_prefetch(rows + first * row_bytes + i, 0, 2);
  }
};

template <class K, int R>
static void word_scores(const char *keys, int64_t row_bytes, int64_t key_bytes, int64_t count, int64_t size,
                        const float *queries, int64_t query_row, float *scores, Ahead ahead) {
  for (int64_t k = 0; k < count; k += 4) {
    ahead.fetch(k, lesser(4, count - k));
    vf sums[4][R] = {};
    const char *rows[4];
    for (int i = 0; i < 4; i++) rows[i] = keys + lesser(k + i, count - 1) * row_bytes;
    const float *query = queries;
    for (int64_t d = 0; d < size; d += K::STEP, query += K::QUERY_STEP)
      UNROLL for (int i = 0; i < 4; i++)
        K::template dot<R>(sums[i], rows[i] + d * key_bytes, size - d, query, query_row);
    UNROLL for (int r = 0; r < R; r++) {
      vf of_row[4] = {sums[0][r], sums[1][r], sums[2][r], sums[3][r]};
      four_sums(of_row, scores + r * WORD_KEYS + k);
    }
  }
}

template <class K, int R, int S>
static void word_values(const char *values, int64_t row_bytes, int64_t count, int64_t left,
                        const typename K::P::number *weights, float *to, int64_t width, Ahead ahead) {
  vf sums[R][S][K::PARTS];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int s = 0; s < S; s++)
      UNROLL for (int p = 0; p < K::PARTS; p++) sums[r][s][p] = load(to + r * width + s * K::STEP + p * W);
  for (int64_t k = 0; k < count; k += K::KEYS_AT_ONCE) {
    ahead.fetch(k, lesser(K::KEYS_AT_ONCE, count - k));
    const char *value = values + k * row_bytes, *next = k + 1 < count ? value + row_bytes : value;
    K::template add<R, S>(sums, value, next, left, weights + k, WORD_KEYS);
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int s = 0; s < S; s++)
      UNROLL for (int p = 0; p < K::PARTS; p++) store(to + r * width + s * K::STEP + p * W, sums[r][s][p]);
}

template <class K, int R>
static void word_rows(const char *values, int64_t row_bytes, int64_t value_bytes, int64_t count, int64_t size,
                      const typename K::P::number *weights, float *sums, int64_t width, Ahead ahead) {
  for (int64_t d = 0; d < size; ahead.rows = nullptr) {
    int64_t steps = (size - d + K::STEP - 1) / K::STEP, left = size - d, taken = 1;
    const char *from = values + d * value_bytes;
    float *to = sums + d;
    if (K::MOST_STEPS >= 8 && steps >= 8) {
      word_values<K, R, K::MOST_STEPS >= 8 ? 8 : 1>(from, row_bytes, count, left, weights, to, width, ahead);
      taken = 8;
    } else if (K::MOST_STEPS >= 4 && steps >= 4) {
      word_values<K, R, K::MOST_STEPS >= 4 ? 4 : 1>(from, row_bytes, count, left, weights, to, width, ahead);
      taken = 4;
    } else if (steps >= 2) {
      word_values<K, R, 2>(from, row_bytes, count, left, weights, to, width, ahead);
      taken = 2;
    } else {
      word_values<K, R, 1>(from, row_bytes, count, left, weights, to, width, ahead);
    }
    d += taken * K::STEP;
  }
}

struct WordPlan {  // of the scratch memory of one part: rows found first, where `join` looks for them
  int64_t width;
  int64_t maxima, queries, row, scores, weights, scales, bytes;
  explicit WordPlan(const svlm::Attention &job) {
    width = up(job.head_size, 2 * W);
    int64_t group = job.group, at = up(group * width * 4, 64);
    auto take = [&at](int64_t size) {
      int64_t start = at;
      at += up(size, 64);
      return start;
    };
    maxima = take(group * 2 * 4);
    queries = take(group * width * 4);
    row = take(width * 4);
    scores = take(group * WORD_KEYS * 4);
    weights = take(group * WORD_KEYS * 4);
    scales = take(2 * WORD_KEYS * 4);
    bytes = at;
  }
};

template <class K, svlm::Format kFormat>
static void attend_word(const svlm::Attention &job, int64_t head, int64_t first, int64_t last, char *scratch) {
  typedef typename K::P::number number;
  constexpr bool kScaled = kFormat == svlm::kInt8;
  const WordPlan plan(job);
  int64_t group = job.group, size = job.head_size, state = state_bytes(kFormat);
  float *queries = (float *)(scratch + plan.queries), *row = (float *)(scratch + plan.row);
  float *scores = (float *)(scratch + plan.scores), *scales = (float *)(scratch + plan.scales);
  number *weights = (number *)(scratch + plan.weights);
  Rows rows = {(float *)scratch, (float *)(scratch + plan.maxima), (float *)(scratch + plan.maxima) + group,
               plan.width};
  memset(rows.sums, 0, (size_t)(group * plan.width) * 4);
  memset(row, 0, (size_t)plan.width * 4);
  for (int64_t r = 0; r < group; r++) {
    rows.maxima[r] = -INFINITY, rows.totals[r] = 0;
    const char *from = job.query + (head * group + r) * job.query_head * state_bytes(job.query_format);
    for (int64_t d = 0; d < size; d++) row[d] = number_of(from, job.query_format, d);
    K::lay_query(row, plan.width / K::STEP, queries + r * plan.width);
  }
  int64_t key_bytes = job.key_row * state, value_bytes = job.value_row * state;
  const char *keys = job.key + head * job.key_head * state, *values = job.value + head * job.value_head * state;
  float scale = job.scale * kLog2e;
  for (int64_t key = first; key < last; key += WORD_KEYS) {
    int64_t count = lesser(WORD_KEYS, last - key), padded = up(count, W);
    const char *key_rows = keys + key * key_bytes, *value_rows = values + key * value_bytes;
    if (kScaled) {
      memset(scales, 0, 2 * WORD_KEYS * 4);
      for (int64_t k = 0; k < count; k++) {
        scales[k] = scale_of(key_rows + k * key_bytes, size);
        scales[WORD_KEYS + k] = scale_of(value_rows + k * value_bytes, size);
      }
    }
    for (int64_t r = 0; r < group; r += WORD_ROWS) {
      const float *query = queries + r * plan.width;
      const Ahead ahead = {r ? nullptr : value_rows, value_bytes};
      float *to = scores + r * WORD_KEYS;
      switch (lesser(WORD_ROWS, group - r)) {
        case 3: word_scores<K, 3>(key_rows, key_bytes, state, count, size, query, plan.width, to, ahead); break;
        case 2: word_scores<K, 2>(key_rows, key_bytes, state, count, size, query, plan.width, to, ahead); break;
        default: word_scores<K, 1>(key_rows, key_bytes, state, count, size, query, plan.width, to, ahead);
      }
    }
    for (int64_t r = 0; r < group; r++)
      weigh<typename K::P, kScaled>(scores + r * WORD_KEYS, weights + r * WORD_KEYS, count, padded, scale, scales,
                                    scales + WORD_KEYS, rows, r);
    for (int64_t r = 0; r < group; r += WORD_ROWS) {
      const number *weight = weights + r * WORD_KEYS;
      bool is_more = !r && key + 2 * WORD_KEYS <= last;
      const Ahead ahead = {is_more ? key_rows + WORD_KEYS * key_bytes : nullptr, key_bytes};
      float *to = rows.sums + r * plan.width;
      switch (lesser(WORD_ROWS, group - r)) {
        case 3: word_rows<K, 3>(value_rows, value_bytes, state, count, size, weight, to, plan.width, ahead); break;
        case 2: word_rows<K, 2>(value_rows, value_bytes, state, count, size, weight, to, plan.width, ahead); break;
        default: word_rows<K, 1>(value_rows, value_bytes, state, count, size, weight, to, plan.width, ahead);
      }
    }
  }
  for (int64_t r = 0; r < group; r++) {  // numbers in their own order
    float *sums = rows.sums + r * plan.width;
    for (int64_t d = 0; d < plan.width; d++) row[d] = sums[K::place(d)];
    memcpy(sums, row, (size_t)plan.width * 4);
  }
}

static void word(const svlm::Attention &job, int64_t head, int64_t first, int64_t last, char *scratch) {
  switch (job.state_format) {
    case svlm::kFloat32: return attend_word<Floats<svlm::kFloat32>, svlm::kFloat32>(job, head, first, last, scratch);
    case svlm::kInt8: return attend_word<Floats<svlm::kInt8>, svlm::kInt8>(job, head, first, last, scratch);
    case svlm::kBfloat16:
#if SVLM_DOT_BF16
      return attend_word<Pairs, svlm::kBfloat16>(job, head, first, last, scratch);
#else
      return attend_word<Floats<svlm::kBfloat16>, svlm::kBfloat16>(job, head, first, last, scratch);
#endif
  }
}

static size_t word_bytes(const svlm::Attention &job) { return (size_t)WordPlan(job).bytes; }

// The parts of a head's keys as one softmax.
static void join(const svlm::Attention &job, int64_t head, int64_t num_parts, char *const *scratch) {
  const WordPlan plan(job);
  float *whole = (float *)(scratch[0] + plan.row);
  for (int64_t r = 0; r < job.group; r++) {
    float highest = -INFINITY, total = 0;
    for (int64_t part = 0; part < num_parts; part++) {
      float own = ((const float *)(scratch[part] + plan.maxima))[r];
      highest = own > highest ? own : highest;
    }
    memset(whole, 0, (size_t)plan.width * 4);
    for (int64_t part = 0; part < num_parts; part++) {
      const float *maxima = (const float *)(scratch[part] + plan.maxima);
      const float *sums = (const float *)scratch[part] + r * plan.width;
      float faded = exp2f(maxima[r] - highest);
      total += maxima[job.group + r] * faded;
      for (int64_t d = 0; d < job.head_size; d++) whole[d] += sums[d] * faded;
    }
    int64_t cell = state_bytes(job.query_format);
    put_row(job, job.out + (head * job.group + r) * job.out_head * cell, whole, total);
  }
}
