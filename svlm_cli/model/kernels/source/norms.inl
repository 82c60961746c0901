// Norms of rows, each in one pass: what stands before every product of a word.

typedef uint16_t vh __attribute__((vector_size(SVLM_BYTES / 2)));

static INLINE vf wide(const float *from) { return load(from); }
static INLINE vf wide(const bf16 *from) {
  vh half;
  memcpy(&half, from, sizeof half);
  return (vf)(__builtin_convertvector(half, vi) << 16);
}
static INLINE void narrow(float *to, vf value) { store(to, value); }
static INLINE void narrow(bf16 *to, vf value) {  // as to_bf16
  vi bits = (vi)value, upper = (bits >> 16) & (vi)(0xffff - (vi){});
  vi rounded = ((bits + (upper & (vi)(1 - (vi){})) + (vi)(0x7fff - (vi){})) >> 16) & (vi)(0xffff - (vi){});
  vi number = value == value ? rounded : (upper | (vi)(0x40 - (vi){}));
  vh half = __builtin_convertvector(number, vh);
  memcpy(to, &half, sizeof half);
}
static INLINE float one(float value) { return value; }
static INLINE float one(bf16 value) { return from_bf16(value); }
static INLINE void put_one(float *to, float value) { *to = value; }
static INLINE void put_one(bf16 *to, float value) { *to = to_bf16(value); }

// Rows over their root mean square, rounded to their format, times weights.
template <class Number>
static void norm_rows(const Number *from, const Number *weights, int64_t rows, int64_t size, float epsilon,
                      Number *to) {
  for (int64_t r = 0; r < rows; r++, from += size, to += size) {
    vf parts[4] = {};
    int64_t i = 0;
    for (; i + 4 * W <= size; i += 4 * W)
      for (int k = 0; k < 4; k++) {
        vf x = wide(from + i + k * W);
        parts[k] += x * x;
      }
    float sum = sum_of((parts[0] + parts[1]) + (parts[2] + parts[3]));
    for (; i < size; i++) sum += one(from[i]) * one(from[i]);
    float scale = 1.0f / sqrtf(sum / (float)size + epsilon);
    for (i = 0; i + W <= size; i += W) {
      narrow(to + i, wide(from + i) * all(scale));
      narrow(to + i, wide(to + i) * wide(weights + i));
    }
    for (; i < size; i++) {
      put_one(to + i, one(from[i]) * scale);
      put_one(to + i, one(to[i]) * one(weights[i]));
    }
  }
}

static void norm(svlm::Format format, const char *from, const char *weights, int64_t rows, int64_t size,
                 float epsilon, char *to) {
  if (format == svlm::kFloat32)
    norm_rows((const float *)from, (const float *)weights, rows, size, epsilon, (float *)to);
  else
    norm_rows((const bf16 *)from, (const bf16 *)weights, rows, size, epsilon, (bf16 *)to);
}
