// Products with weights in panels: of one row at the speed of memory, of many at that of the processor. Whatever
// the number of rows, a sum is added up in the same order.

enum { ROWS_AT_ONCE = 512, STEPS_AT_ONCE = 256 };  // of a panel's sums; of a panel, next to the processor
// Of words of several streams, for which memory takes longer than the processor: rows; a panel's steps that stay in
// the smallest cache from one tile of rows to the next.
enum { MOST_BRINGING = 4 * MOST_R, FEWER_STEPS = 64 };

struct SplitProduct {  // bfloat16 where the processor does not multiply it: both numbers of a pair as float32
  typedef float number;
  enum { PAIR = 2 };
  static INLINE vf times(vf sum, const float *a, vf b) {
    sum += all(a[0]) * even_of((vi)b);
    return sum + all(a[1]) * odd_of((vi)b);
  }
};

#if SVLM_DOT_BF16
typedef PairProduct HalfProduct;
#else
typedef SplitProduct HalfProduct;
#endif

// Inputs that cannot be read where they lie: an odd number of pairs, or bfloat16 that is to be float32.
static size_t prepared_bytes(const svlm::Product &job) {
  if (job.format == svlm::kFloat32) return 0;
  if (sizeof(HalfProduct::number) == 2 && job.size % 2 == 0) return 0;
  return (size_t)(job.rows * up(job.size, 2)) * sizeof(HalfProduct::number);
}

static void prepare(const svlm::Product &job, char *to) {
  typedef HalfProduct::number number;
  int64_t depth = up(job.size, 2);
  for (int64_t r = 0; r < job.rows; r++) {
    const bf16 *from = (const bf16 *)job.inputs + r * job.size;
    number *row = (number *)to + r * depth;
    for (int64_t i = 0; i < job.size; i++) {
      if constexpr (sizeof(number) == 2) row[i] = from[i];
      else row[i] = from_bf16(from[i]);
    }
    for (int64_t i = job.size; i < depth; i++) row[i] = 0;
  }
}

static size_t product_scratch(const svlm::Product &job) {
  return (size_t)(lesser(job.rows, ROWS_AT_ONCE) * PANEL) * 4;
}

template <class Number>
static INLINE void put_sums(Number *out, const float *sums, const float *bias, int64_t count) {
  for (int64_t i = 0; i < count; i += W) {
    vf sum = load(sums + i);
    narrow_part(out + i, bias ? sum + wide_part(bias + i, count - i) : sum, count - i);
  }
}

static void put_numbers(const svlm::Product &job, int64_t row, int64_t column, int64_t count, const float *sums) {
  int64_t at = row * job.outputs + column;
  const float *bias = job.bias ? job.bias + column : nullptr;
  if (job.format == svlm::kFloat32) put_sums((float *)job.out + at, sums, bias, count);
  else put_sums((bf16 *)job.out + at, sums, bias, count);
}

template <class P, int C, class Put>
static void one_panel(const svlm::Product &job, const char *panel, int64_t column, float *sums, const Put &put) {
  typedef typename P::number number;
  int64_t depth = up(job.size, P::PAIR), count = lesser(C * W, job.outputs - column);
  const number *inputs = (const number *)job.inputs;
  for (int64_t row = 0; row < job.rows; row += ROWS_AT_ONCE) {
    int64_t rows = lesser(ROWS_AT_ONCE, job.rows - row);
    const number *from = inputs + row * job.stride;
    bool brings = rows > MOST_R && rows <= MOST_BRINGING;
    int64_t steps = (brings ? FEWER_STEPS : STEPS_AT_ONCE) * (P::PAIR == 4 ? 4 : 1);
    int64_t once = rows <= MOST_R ? depth : steps * P::PAIR;
    for (int64_t k = 0; k < depth; k += once) {
      int64_t some = lesser(once, depth - k);
      const char *part = panel + k / P::PAIR * C * SVLM_BYTES;
      if (k && P::PAIR == 4) {  // whole numbers, beside those there are: compilers do badly with adding to them
        float *more = sums + rows * C * W;
        panel_product<P, C, false>(from + k, job.stride, rows, part, some, more, C * W, brings);
        for (int64_t i = 0; i < rows * C * W; i += W)
          store(sums + i, (vf)((vi)load(sums + i) + (vi)load(more + i)));
      } else if (k)
        panel_product<P, C, true>(from + k, job.stride, rows, part, some, sums, C * W, brings);
      else
        panel_product<P, C, false>(from, job.stride, rows, part, some, sums, C * W, brings);
    }
    for (int64_t r = 0; r < rows; r++) put(row + r, column, count, sums + r * C * W);
  }
}

// put(row, column, count, sums): where the sums of some outputs of a row go.
template <class P, class Put>
static void panels_of(const svlm::Product &job, int64_t first, int64_t last, char *scratch, const Put &put) {
  int64_t steps = up(job.size, P::PAIR) / P::PAIR;
  for (int64_t n = first * PANEL; n < lesser(last * PANEL, job.outputs); n += PANEL) {
    const char *panel = job.panels + n * steps * 4;
    switch ((lesser(PANEL, job.outputs - n) + W - 1) / W) {
#if SVLM_MANY_REGISTERS
      case 4: one_panel<P, 4>(job, panel, n, (float *)scratch, put); break;
      case 3: one_panel<P, 3>(job, panel, n, (float *)scratch, put); break;
#endif
      case 2: one_panel<P, 2>(job, panel, n, (float *)scratch, put); break;
      case 1: one_panel<P, 1>(job, panel, n, (float *)scratch, put); break;
    }
  }
}

static void panels(const svlm::Product &job, int64_t first, int64_t last, char *scratch) {
  auto put = [&](int64_t row, int64_t column, int64_t count, const float *sums) {
    put_numbers(job, row, column, count, sums);
  };
  if (job.format == svlm::kFloat32) panels_of<PlainProduct>(job, first, last, scratch, put);
  else panels_of<HalfProduct>(job, first, last, scratch, put);
}

// Between rows and panels, number by number; zeros where there are none are the caller's.
template <class Number, int kPair, bool kLay, class Rows, class Panels>
static void move_numbers(const svlm::Product &job, Rows rows, int64_t first, int64_t count, Panels panels) {
  int64_t steps = up(job.size, kPair) / kPair;
  for (int64_t n = first / PANEL * PANEL; n < first + count; n += PANEL) {
    int64_t width = lesser(PANEL, up(job.outputs - n, W));
    int64_t from = n < first ? first : n, to = lesser(n + PANEL, first + count);
    auto *panel = panels + n * steps * kPair;
    for (int64_t i = 0; i < job.size; i++) {
      auto *line = panel + i / kPair * width * kPair + i % kPair;
      for (int64_t o = from; o < to; o++) {
        if constexpr (kLay) line[(o - n) * kPair] = rows[(o - first) * job.size + i];
        else rows[(o - first) * job.size + i] = line[(o - n) * kPair];
      }
    }
  }
}

static void lay(const svlm::Product &job, const char *rows, int64_t first, int64_t count, char *panels) {
  if (job.format == svlm::kFloat32)
    move_numbers<float, 1, true>(job, (const float *)rows, first, count, (float *)panels);
  else
    move_numbers<bf16, 2, true>(job, (const bf16 *)rows, first, count, (bf16 *)panels);
}

static void take(const svlm::Product &job, char *rows) {
  if (job.format == svlm::kFloat32)
    move_numbers<float, 1, false>(job, (float *)rows, 0, job.outputs, (const float *)job.panels);
  else
    move_numbers<bf16, 2, false>(job, (bf16 *)rows, 0, job.outputs, (const bf16 *)job.panels);
}
