// What one call of the product kernels is about: inputs (rows, size) times weights (outputs, size), laid out.
#pragma once
#include "attention.h"

namespace svlm {

struct Product {
  const char *inputs;       // in `format`; then what `prepare` has made of them
  const char *panels;
  const float *bias;        // or null
  char *out;                // (rows, outputs)
  Format format;            // of inputs, weights and out: float32 or bfloat16
  int64_t rows, size, outputs;
  int64_t stride;           // of inputs, from row to row, in numbers
};

// The kernels of one instruction set. Weights lie in panels of `columns` outputs end to end: number after number
// of the inputs (in bfloat16 two by two) those of each output, so that a word reads them from end to end.
struct ProductSet {
  int64_t columns, vector;  // outputs of a panel; the last one has as many whole vectors as it needs
  size_t (*prepared_bytes)(const Product &);
  void (*prepare)(const Product &, char *to);
  size_t (*scratch_bytes)(const Product &);
  void (*panels)(const Product &, int64_t first, int64_t last, char *scratch);
  // Rows [first, first + count) of the weights to or from their places.
  void (*lay)(const Product &, const char *rows, int64_t first, int64_t count, char *panels);
  void (*take)(const Product &, char *rows);
  // Rows (rows, size) over their root mean square, times weights (size).
  void (*norm)(Format, const char *from, const char *weights, int64_t rows, int64_t size, float epsilon, char *to);
  // As in elements.inl.
  void (*gate)(Format, const char *from, int64_t rows, int64_t size, char *to);
  void (*turn)(Format, Format angles, const char *from, int64_t stride, const char *cosines, const char *sines,
               int64_t rows, int64_t heads, int64_t half, char *to);
};

}  // namespace svlm
