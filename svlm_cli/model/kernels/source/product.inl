// C (R x N) = or += A (R x K) B (K x N), N in panels of C vectors: A row by row, each number of it multiplied
// with a row of the panel. Of bfloat16 two numbers of a row of A go with two rows of B ("a pair").

#if SVLM_MANY_REGISTERS  // 32 of them
enum { MOST_C = 4, MOST_R = 6 };
#else
enum { MOST_C = 2, MOST_R = 6 };
#endif
enum { PANEL = MOST_C * W };

struct PlainProduct {  // float32
  typedef float number;
  enum { PAIR = 1 };
  static INLINE vf times(vf sum, const float *a, vf b) { return sum + all(*a) * b; }
  static INLINE float rounded(float value) { return value; }
};
#if SVLM_DOT_BF16
struct PairProduct {  // bfloat16, summed up in float32
  typedef bf16 number;
  enum { PAIR = 2 };
  static INLINE vf times(vf sum, const bf16 *a, vf b) {
    int32_t pair;
    memcpy(&pair, a, 4);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)b);
  }
  static INLINE bf16 rounded(float value) { return to_bf16(value); }
};
#endif

template <class P, int R, int C, bool kAdd>
static inline void tile(const typename P::number *a, int64_t a_row, const char *panel, int64_t depth, float *c,
                        int64_t c_row) {
  vf sums[R][C];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < C; j++) sums[r][j] = kAdd ? load(c + r * c_row + j * W) : vf{};
  for (int64_t k = 0; k < depth; k += P::PAIR) {
    vf b[C];
    UNROLL for (int j = 0; j < C; j++) b[j] = load(panel + j * SVLM_BYTES);
    panel += C * SVLM_BYTES;
    UNROLL for (int r = 0; r < R; r++)
      UNROLL for (int j = 0; j < C; j++) sums[r][j] = P::times(sums[r][j], a + r * a_row + k, b[j]);
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int j = 0; j < C; j++) store(c + r * c_row + j * W, sums[r][j]);
}

template <class P, int C, bool kAdd>
static void panel_product(const typename P::number *a, int64_t a_row, int64_t rows, const char *panel,
                          int64_t depth, float *c, int64_t c_row) {
  int64_t r = 0;
  for (; r + MOST_R <= rows; r += MOST_R)
    tile<P, MOST_R, C, kAdd>(a + r * a_row, a_row, panel, depth, c + r * c_row, c_row);
  a += r * a_row;
  c += r * c_row;
  switch (rows - r) {
    case 5: return tile<P, 5, C, kAdd>(a, a_row, panel, depth, c, c_row);
    case 4: return tile<P, 4, C, kAdd>(a, a_row, panel, depth, c, c_row);
    case 3: return tile<P, 3, C, kAdd>(a, a_row, panel, depth, c, c_row);
    case 2: return tile<P, 2, C, kAdd>(a, a_row, panel, depth, c, c_row);
    case 1: return tile<P, 1, C, kAdd>(a, a_row, panel, depth, c, c_row);
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
