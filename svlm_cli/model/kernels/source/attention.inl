// Attention by blocks of keys with an online softmax (FlashAttention, arXiv 2205.14135): the rows are the g
// query heads of one key head, token after token. Written once for every instruction set.

enum { KEYS = 128, ROWS = 48, WORD_KEYS = 64, WORD_ROWS = 3 };
static_assert(KEYS % PANEL == 0 && WORD_KEYS % W == 0, "whole vectors");
static_assert(ROWS % 16 == 0 && KEYS % 32 == 0, "whole tiles, where there are some");

static const float kLog2e = 1.44269504088896341f;

// What the number of numbers that are summed up is rounded to.
template <class P>
static constexpr int64_t depth_of() {
  return P::PAIR * P::STEPS;
}

static INLINE int64_t state_bytes(svlm::Format format) {
  return format == svlm::kFloat32 ? 4 : format == svlm::kBfloat16 ? 2 : 1;
}
static INLINE float scale_of(const char *row, int64_t size) {
  float scale;
  memcpy(&scale, row + size, 4);
  return scale;
}
static INLINE float number_of(const char *row, svlm::Format format, int64_t i) {
  switch (format) {
    case svlm::kFloat32: return ((const float *)row)[i];
    case svlm::kBfloat16: return from_bf16(((const bf16 *)row)[i]);
    default: return (float)((const int8_t *)row)[i];
  }
}
static INLINE bf16 rounded_number(const char *row, svlm::Format format, int64_t i) {
  if (format == svlm::kBfloat16) return ((const bf16 *)row)[i];
  return to_bf16(number_of(row, format, i));
}

// What of the states is computed with: their numbers as they are or rounded to bfloat16.
template <class P, svlm::Format kFormat>
struct Reads {
  typedef typename P::number number;
  static INLINE number at(const char *row, int64_t i) {
    if constexpr (P::PAIR == 2) return rounded_number(row, kFormat, i);
    else return number_of(row, kFormat, i);
  }
};

// Rows of a head lie far apart where heads are side by side: memory is asked for one as an earlier one is read.
enum { ROWS_AHEAD = 8 };
static INLINE void bring(const char *row, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(row + i, 0, 3);
}

// Keys as panels whose columns are keys and whose rows are numbers of a head; missing ones are zeros.
template <class P, svlm::Format kFormat>
static void lay_keys(const char *keys, int64_t row_bytes, int64_t count, int64_t size, char *panels) {
  typedef typename P::number number;
  int64_t steps = up(size, depth_of<P>()) / P::PAIR;
  for (int64_t n = 0; n < up(count, PANEL); n++) {
    number *to = (number *)(panels + n / PANEL * PANEL * steps * 4) + n % PANEL * P::PAIR;
    if (n >= count) {
      for (int64_t d = 0; d < steps; d++, to += PANEL * P::PAIR)
        for (int p = 0; p < P::PAIR; p++) to[p] = 0;
      continue;
    }
    const char *row = keys + n * row_bytes;
    bring(row + ROWS_AHEAD * row_bytes, size * state_bytes(kFormat));
    int64_t whole = size / P::PAIR;
    for (int64_t d = 0; d < whole; d++, to += PANEL * P::PAIR)
      for (int p = 0; p < P::PAIR; p++) to[p] = Reads<P, kFormat>::at(row, d * P::PAIR + p);
    for (int64_t d = whole; d < steps; d++, to += PANEL * P::PAIR)
      for (int p = 0; p < P::PAIR; p++)
        to[p] = d * P::PAIR + p < size ? Reads<P, kFormat>::at(row, d * P::PAIR + p) : number(0);
  }
}

// Values as panels whose columns are numbers of a head and whose rows are tokens; missing ones are zeros.
template <class P, svlm::Format kFormat>
static void lay_values(const char *values, int64_t row_bytes, int64_t count, int64_t size, int64_t width,
                       char *panels) {
  typedef typename P::number number;
  int64_t steps = up(count, depth_of<P>()) / P::PAIR;
  for (int64_t n = 0; n < width; n += PANEL) {
    int64_t columns = lesser(PANEL, width - n), held = lesser(columns, size - n);
    number *to = (number *)(panels + n * steps * 4);
    for (int64_t k = 0; k < steps * P::PAIR; k++) {
      number *line = to + k / P::PAIR * columns * P::PAIR + k % P::PAIR;
      const char *row = values + k * row_bytes;
      bring(row + ROWS_AHEAD * row_bytes + n * state_bytes(kFormat), columns * state_bytes(kFormat));
      if (k < count)
        for (int64_t d = 0; d < held; d++) line[d * P::PAIR] = Reads<P, kFormat>::at(row, n + d);
      for (int64_t d = k < count ? held : 0; d < columns; d++) line[d * P::PAIR] = 0;
    }
  }
}

struct Rows {  // what a block of keys finds of the rows before it and leaves for the next one
  float *sums, *maxima, *totals;  // (rows, width), (rows), (rows)
  int64_t width;
};

// Scores of one row to weights, of which it adds up the rows seen; `seen` keys are looked at, the rest get 0.
template <class P, bool kScaled>
static INLINE void weigh(float *scores, typename P::number *weights, int64_t seen, int64_t padded, float scale,
                         const float *key_scales, const float *value_scales, const Rows &rows, int64_t row) {
  if (kScaled)
    for (int64_t k = 0; k < padded; k += W) store(scores + k, load(scores + k) * load(key_scales + k));
  for (int64_t k = seen; k < padded; k++) scores[k] = -INFINITY;
  vf top = all(-INFINITY);
  for (int64_t k = 0; k < padded; k += W) top = larger(top, load(scores + k));
  float highest = max_of(top) * scale, before = rows.maxima[row];
  float now = highest > before ? highest : before;
  vf total = {};
  for (int64_t k = 0; k < padded; k += W) {
    vf weight = exp2_of<P::PAIR == 2>(load(scores + k) * all(scale) - all(now));
    total += weight;
    if (kScaled) weight = weight * load(value_scales + k);
#if SVLM_DOT_BF16
    if constexpr (P::PAIR == 2) {
      __m256bh half = _mm512_cvtneps_pbh((__m512)weight);
      memcpy(weights + k, &half, sizeof half);
    } else
#endif
      store(weights + k, weight);
  }
  for (int64_t k = seen; k < padded; k++) weights[k] = 0;
  float faded = now == before ? 1.0f : exp2f(before - now);
  rows.maxima[row] = now;
  rows.totals[row] = rows.totals[row] * faded + sum_of(total);
  if (faded != 1.0f)
    for (int64_t d = 0; d < rows.width; d += W)
      store(rows.sums + row * rows.width + d, load(rows.sums + row * rows.width + d) * all(faded));
}

template <class P, bool kAdd>
static INLINE void multiply(const typename P::number *a, int64_t a_row, int64_t rows, const char *b, int64_t depth,
                            int64_t columns, float *c, int64_t c_row) {
#if SVLM_TILES
  if constexpr (P::STEPS > 1) return tile_product<kAdd>(a, a_row, rows, b, depth, columns, c, c_row);
#endif
  product<P, kAdd>(a, a_row, rows, b, depth, columns, c, c_row);
}

template <class P>
struct Plan {  // of one unit's scratch memory
  typedef typename P::number number;
  int64_t depth, width, rows;
  int64_t queries, keys, values, scales, scores, weights, sums, maxima, bytes;
  explicit Plan(const svlm::Attention &job) {
    depth = up(job.head_size, depth_of<P>()), width = up(job.head_size, W), rows = up(job.chunk, P::STEPS);
    int64_t at = 0;
    auto take = [&at](int64_t size) {
      int64_t start = at;
      at += up(size, 64);
      return start;
    };
    queries = take(rows * depth * (int64_t)sizeof(number));
    keys = take(KEYS * depth * (int64_t)sizeof(number));
    values = take(KEYS * width * (int64_t)sizeof(number));
    scales = take(2 * KEYS * 4);
    scores = take(ROWS * KEYS * 4);
    weights = P::PAIR == 1 ? scores : take(ROWS * KEYS * (int64_t)sizeof(number));
    sums = take(rows * width * 4);
    maxima = take(rows * 2 * 4);
    bytes = at;
  }
};

template <class P>
static void take_queries(const svlm::Attention &job, const char *query, int64_t first, int64_t count,
                         const Plan<P> &plan, typename P::number *to) {
  for (int64_t r = 0; r < count; r++, to += plan.depth) {
    int64_t row = first + r, size = state_bytes(job.query_format);
    const char *from = query + (row % job.group * job.query_head + row / job.group * job.query_row) * size;
    bring(from + ROWS_AHEAD * job.query_row * size, job.head_size * size);
    if (job.query_format == svlm::kFloat32)
      for (int64_t d = 0; d < job.head_size; d++) to[d] = P::rounded(((const float *)from)[d]);
    else
      for (int64_t d = 0; d < job.head_size; d++) {
        if constexpr (P::PAIR == 2) to[d] = ((const bf16 *)from)[d];
        else to[d] = from_bf16(((const bf16 *)from)[d]);
      }
    for (int64_t d = job.head_size; d < plan.depth; d++) to[d] = 0;
  }
}

template <class Number>
static INLINE void put_part(Number *out, const float *sums, float part, int64_t size) {
  for (int64_t d = 0; d < size; d += W) narrow_part(out + d, wide_part(sums + d, size - d) * all(part), size - d);
}
static void put_row(const svlm::Attention &job, char *out, const float *sums, float total) {
  if (job.query_format == svlm::kFloat32) put_part((float *)out, sums, 1.0f / total, job.head_size);
  else put_part((bf16 *)out, sums, 1.0f / total, job.head_size);
}

template <class P, svlm::Format kFormat>
static void attend(const svlm::Attention &job, int64_t unit, char *scratch) {
  typedef typename P::number number;
  constexpr bool kScaled = kFormat == svlm::kInt8;
  const Plan<P> plan(job);
  int64_t chunk = unit % job.num_chunks, head = unit / job.num_chunks % job.num_heads;
  int64_t sequence = unit / job.num_chunks / job.num_heads;
  int64_t start = job.bounds ? job.bounds[sequence] : 0;
  int64_t held = job.bounds ? job.bounds[sequence + 1] - start : job.num_held;
  int64_t num_new = job.bounds ? held : job.num_new;
  int64_t first = chunk * job.chunk, count = lesser(job.chunk, num_new * job.group - first);
  if (count <= 0) return;
  int64_t cell = state_bytes(job.query_format), state = state_bytes(kFormat);
  const char *query = job.query + (head * job.group * job.query_head + start * job.query_row) * cell;
  char *out = job.out + (head * job.group * job.out_head + start * job.out_row) * cell;
  const char *keys = job.key + (head * job.key_head + start * job.key_row) * state;
  const char *values = job.value + (head * job.value_head + start * job.value_row) * state;
  number *queries = (number *)(scratch + plan.queries), *weights = (number *)(scratch + plan.weights);
  float *scores = (float *)(scratch + plan.scores), *scales = (float *)(scratch + plan.scales);
  Rows rows = {(float *)(scratch + plan.sums), (float *)(scratch + plan.maxima),
               (float *)(scratch + plan.maxima) + plan.rows, plan.width};
  take_queries<P>(job, query, first, count, plan, queries);
  memset(rows.sums, 0, (size_t)(plan.rows * plan.width) * 4);
  for (int64_t r = 0; r < count; r++) rows.maxima[r] = -INFINITY, rows.totals[r] = 0;
  float scale = job.scale * kLog2e;
  int64_t last = job.is_causal ? held - num_new + (first + count - 1) / job.group + 1 : held;
  for (int64_t key = 0; key < last; key += KEYS) {
    int64_t width = lesser(KEYS, last - key), padded = up(width, PANEL);
    const char *key_rows = keys + key * job.key_row * state, *value_rows = values + key * job.value_row * state;
    lay_keys<P, kFormat>(key_rows, job.key_row * state, width, job.head_size, scratch + plan.keys);
    lay_values<P, kFormat>(value_rows, job.value_row * state, width, job.head_size, plan.width,
                           scratch + plan.values);
    if (kScaled) {
      memset(scales, 0, 2 * KEYS * 4);
      for (int64_t k = 0; k < width; k++) {
        scales[k] = scale_of(key_rows + k * job.key_row, job.head_size);
        scales[KEYS + k] = scale_of(value_rows + k * job.value_row, job.head_size);
      }
    }
    for (int64_t r = 0; r < count; r += ROWS) {
      int64_t some = lesser(ROWS, count - r);
      int64_t furthest = job.is_causal ? held - num_new + (first + r + some - 1) / job.group + 1 : held;
      if (furthest <= key) continue;
      multiply<P, false>(queries + r * plan.depth, plan.depth, some, scratch + plan.keys, plan.depth, padded,
                         scores, KEYS);
      for (int64_t i = 0; i < some; i++) {
        int64_t sees = job.is_causal ? held - num_new + (first + r + i) / job.group + 1 - key : width;
        number *to = P::PAIR == 1 ? (number *)(scores + i * KEYS) : weights + i * KEYS;
        if (sees > 0)
          weigh<P, kScaled>(scores + i * KEYS, to, lesser(width, sees), padded, scale, scales, scales + KEYS,
                            rows, r + i);
        else
          memset(to, 0, (size_t)padded * sizeof(number));
      }
      multiply<P, true>(P::PAIR == 1 ? (number *)scores : weights, KEYS, some, scratch + plan.values,
                        up(width, depth_of<P>()), plan.width, rows.sums + r * plan.width, plan.width);
    }
  }
  for (int64_t r = 0; r < count; r++) {
    int64_t row = first + r;
    char *to = out + (row % job.group * job.out_head + row / job.group * job.out_row) * cell;
    put_row(job, to, rows.sums + r * plan.width, rows.totals[r]);
  }
}

template <class P>
static void attend_format(const svlm::Attention &job, int64_t unit, char *scratch) {
  switch (job.state_format) {
    case svlm::kFloat32: return attend<P, svlm::kFloat32>(job, unit, scratch);
    case svlm::kBfloat16: return attend<P, svlm::kBfloat16>(job, unit, scratch);
    case svlm::kInt8: return attend<P, svlm::kInt8>(job, unit, scratch);
  }
}

#if SVLM_TILES
typedef TileProduct HalfAttention;
#elif SVLM_DOT_BF16
typedef PairProduct HalfAttention;
#else
typedef PlainProduct HalfAttention;
#endif

static void block(const svlm::Attention &job, int64_t unit, char *scratch) {
  if (job.state_format == svlm::kFloat32) return attend_format<PlainProduct>(job, unit, scratch);
#if SVLM_TILES
  TilesLoaded loaded;
#endif
  attend_format<HalfAttention>(job, unit, scratch);
}

static size_t scratch_bytes(const svlm::Attention &job) {
  if (job.state_format != svlm::kFloat32) return (size_t)Plan<HalfAttention>(job).bytes;
  return (size_t)Plan<PlainProduct>(job).bytes;
}
