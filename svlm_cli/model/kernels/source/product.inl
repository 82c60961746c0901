// C (R x N) = or += A (R x K) B (K x N), N in panels of C vectors: A row by row, each number of it multiplied
// with a row of the panel. Of bfloat16 two numbers of a row of A go with two rows of B ("a pair").

#if SVLM_MANY_REGISTERS  // 32 of them
enum { MOST_C = 4, MOST_R = 6 };
#else
enum { MOST_C = 2, MOST_R = 6 };
#endif
enum { PANEL = MOST_C * W };
static_assert(MOST_R == 6, "as many cases as in panel_product");

struct PlainProduct {  // float32
  typedef float number;
  enum { PAIR = 1, STEPS = 1 };  // numbers that go together; what rows and the number of those are rounded to
  static INLINE vf times(vf sum, const float *a, vf b) { return sum + all(*a) * b; }
  static INLINE float rounded(float value) { return value; }
};
#if SVLM_DOT_BF16
struct PairProduct {  // bfloat16, summed up in float32
  typedef bf16 number;
  enum { PAIR = 2, STEPS = 1 };
  static INLINE vf times(vf sum, const bf16 *a, vf b) {
    int32_t pair;
    memcpy(&pair, a, 4);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)b);
  }
  static INLINE bf16 rounded(float value) { return to_bf16(value); }
};
#endif

// Memory that is to be brought while what is here is multiplied: so many bytes for each step of a tile.
struct Brought {
  const char *from;
  int64_t bytes;
};

template <class P, int R, int C, bool kAdd>
static inline void tile(const typename P::number *a, int64_t a_row, const char *panel, int64_t depth, float *c,
                        int64_t c_row, Brought ahead) {
  vf sums[R][C];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < C; j++) sums[r][j] = kAdd ? load(c + r * c_row + j * W) : vf{};
  for (int64_t k = 0; k < depth; k += P::PAIR) {
    vf b[C];
    UNROLL for (int j = 0; j < C; j++) b[j] = load(panel + j * SVLM_BYTES);
    panel += C * SVLM_BYTES;
    for (int64_t i = 0; i < ahead.bytes; i += 64) __builtin_prefetch(ahead.from + i, 0, 2);
    ahead.from += ahead.bytes;
    UNROLL for (int r = 0; r < R; r++)
      UNROLL for (int j = 0; j < C; j++) sums[r][j] = P::times(sums[r][j], a + r * a_row + k, b[j]);
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < C; j++) store(c + r * c_row + j * W, sums[r][j]);
}

// Rows in tiles as even as can be. With `brings`, what follows the panel is brought from memory meanwhile, each
// tile its share of as much again.
template <class P, int C, bool kAdd>
static void panel_product(const typename P::number *a, int64_t a_row, int64_t rows, const char *panel,
                          int64_t depth, float *c, int64_t c_row, bool brings = false) {
  int64_t tiles = (rows + MOST_R - 1) / MOST_R;
  Brought ahead = {panel + depth / P::PAIR * C * SVLM_BYTES, brings ? up(C * SVLM_BYTES / tiles, 64) : 0};
  for (; tiles; tiles--) {
    int64_t some = (rows + tiles - 1) / tiles;
    switch (some) {
      case 6: tile<P, 6, C, kAdd>(a, a_row, panel, depth, c, c_row, ahead); break;
      case 5: tile<P, 5, C, kAdd>(a, a_row, panel, depth, c, c_row, ahead); break;
      case 4: tile<P, 4, C, kAdd>(a, a_row, panel, depth, c, c_row, ahead); break;
      case 3: tile<P, 3, C, kAdd>(a, a_row, panel, depth, c, c_row, ahead); break;
      case 2: tile<P, 2, C, kAdd>(a, a_row, panel, depth, c, c_row, ahead); break;
      case 1: tile<P, 1, C, kAdd>(a, a_row, panel, depth, c, c_row, ahead); break;
    }
    ahead.from += depth / P::PAIR * ahead.bytes;
    a += some * a_row;
    c += some * c_row;
    rows -= some;
  }
}

// All panels of B, which lie end to end; the last may be narrower, by whole vectors.
template <class P, bool kAdd>
static void product(const typename P::number *a, int64_t a_row, int64_t rows, const char *b, int64_t depth,
                    int64_t columns, float *c, int64_t c_row) {
  int64_t steps = depth / P::PAIR;
  for (int64_t n = 0; n < columns; n += PANEL) {
    int64_t vectors = lesser(PANEL, columns - n) / W;
    const char *panel = b + n * steps * 4;
    switch (vectors) {
#if SVLM_MANY_REGISTERS
      case 4: panel_product<P, 4, kAdd>(a, a_row, rows, panel, depth, c + n, c_row); break;
      case 3: panel_product<P, 3, kAdd>(a, a_row, rows, panel, depth, c + n, c_row); break;
#endif
      case 2: panel_product<P, 2, kAdd>(a, a_row, rows, panel, depth, c + n, c_row); break;
      case 1: panel_product<P, 1, kAdd>(a, a_row, rows, panel, depth, c + n, c_row); break;
    }
  }
}
