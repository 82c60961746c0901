// Products of tiles (AMX) for attention: 16 rows of A by 32 numbers of each, times 16 pairs of a panel of B by 16 columns.
// Panels lie as those that vectors multiply.

enum { TILE = 16 };  // rows of a tile; pairs of a panel that go into one
static_assert(W == TILE && PANEL % (2 * TILE) == 0, "whole tiles");

struct TileShapes {
  uint8_t palette = 1, first_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE};
};
static_assert(sizeof(TileShapes) == 64, "as the processor reads it");
alignas(64) static const TileShapes kShapes;

// Tiles can be used for as long as one of these is there.
struct TilesLoaded {
  TilesLoaded() { _tile_loadconfig(&kShapes); }
  ~TilesLoaded() { _tile_release(); }
};

struct TileProduct : PairProduct {
  enum { STEPS = TILE };
};

// R x C tiles of sums, each one or two, of `count` tiles of a and of b one after another; strides are in bytes.
template <int R, int C, bool kAdd>
static INLINE void tiles(const char *a, int64_t a_row, const char *b, int64_t b_row, int64_t count, char *c,
                         int64_t c_row) {
  char *below = c + TILE * c_row;
  if constexpr (kAdd) {
    _tile_loadd(0, c, c_row);
    if constexpr (C > 1) _tile_loadd(1, c + 64, c_row);
    if constexpr (R > 1) _tile_loadd(2, below, c_row);
    if constexpr (R > 1 && C > 1) _tile_loadd(3, below + 64, c_row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (; count; count--, a += 64, b += TILE * b_row) {
    _tile_loadd(4, a, a_row);
    _tile_loadd(6, b, b_row);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (C > 1) {
      _tile_loadd(7, b + 64, b_row);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (R > 1) {
      _tile_loadd(5, a + TILE * a_row, a_row);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (C > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, c_row);
  if constexpr (C > 1) _tile_stored(1, c + 64, c_row);
  if constexpr (R > 1) _tile_stored(2, below, c_row);
  if constexpr (R > 1 && C > 1) _tile_stored(3, below + 64, c_row);
}

// Rows (whole tiles of them) times a panel of C vectors.
template <int C, bool kAdd>
static void tile_panel(const char *a, int64_t a_row, int64_t rows, const char *panel, int64_t count, char *c,
                       int64_t c_row) {
  constexpr int64_t b_row = C * SVLM_BYTES;
  for (int64_t r = 0; r < rows; r += 2 * TILE, a += 2 * TILE * a_row, c += 2 * TILE * c_row) {
    bool are_two = rows - r > TILE;
    for (int j = 0; j + 1 < C; j += 2)
      if (are_two) tiles<2, 2, kAdd>(a, a_row, panel + j * 64, b_row, count, c + j * 64, c_row);
      else tiles<1, 2, kAdd>(a, a_row, panel + j * 64, b_row, count, c + j * 64, c_row);
    if constexpr (C % 2 == 1) {
      const char *last = panel + (C - 1) * 64;
      if (are_two) tiles<2, 1, kAdd>(a, a_row, last, b_row, count, c + (C - 1) * 64, c_row);
      else tiles<1, 1, kAdd>(a, a_row, last, b_row, count, c + (C - 1) * 64, c_row);
    }
  }
}

// As `product`; rows are rounded up to whole tiles, which the caller has room for, and so is depth, to zeros.
template <bool kAdd>
static void tile_product(const bf16 *a, int64_t a_row, int64_t rows, const char *b, int64_t depth, int64_t columns,
                         float *c, int64_t c_row) {
  asm volatile("" ::: "memory");  // GCC's loads of tiles do not say that they read what was stored before
  int64_t count = up(depth / 2, TILE) / TILE, whole = up(rows, TILE);
  const char *from = (const char *)a;
  for (int64_t n = 0; n < columns; n += PANEL) {
    const char *panel = b + n * count * TILE * 4;
    char *to = (char *)(c + n);
    switch (lesser(PANEL, columns - n) / W) {
      case 4: tile_panel<4, kAdd>(from, a_row * 2, whole, panel, count, to, c_row * 4); break;
      case 3: tile_panel<3, kAdd>(from, a_row * 2, whole, panel, count, to, c_row * 4); break;
      case 2: tile_panel<2, kAdd>(from, a_row * 2, whole, panel, count, to, c_row * 4); break;
      case 1: tile_panel<1, kAdd>(from, a_row * 2, whole, panel, count, to, c_row * 4); break;
    }
  }
}
