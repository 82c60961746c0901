// What stands between products, each in one pass: norms of rows, gates of an MLP, heads turned by angles. What a
// step of them leaves is rounded to the format of the rows, as if it had been written down.

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

template <class Number>
static INLINE vf rounded(vf value) {
  if (sizeof(Number) == 4) return value;
  bf16 written[W];
  narrow(written, value);
  return wide(written);
}

template <bool kRough>
static INLINE vf silu(vf x) {
  vf zero = {}, power = exp2_of<kRough>((x < zero ? x : -x) * all(kLog2e));
  return x * (x < zero ? power : all(1.0f)) / (all(1.0f) + power);
}

// Rows (rows, 2 * size) of gates and values: SwiGLU (rows, size).
template <class Number>
static void gate_rows(const Number *from, int64_t rows, int64_t size, Number *to) {
  for (int64_t r = 0; r < rows; r++, from += 2 * size, to += size)
    for (int64_t i = 0; i < size; i += W) {
      vf open = rounded<Number>(silu<sizeof(Number) == 2>(wide_part(from + i, size - i)));
      narrow_part(to + i, open * wide_part(from + size + i, size - i), size - i);
    }
}

// Heads (rows, heads, 2 * half), rows `stride` numbers apart: numbers k and k + half are turned together by the
// angles (rows, half); products are rounded to the angles' format.
template <class Number, class Angle>
static void turn_rows(const Number *from, int64_t stride, const Angle *cosines, const Angle *sines, int64_t rows,
                      int64_t heads, int64_t half, Number *to) {
  for (int64_t r = 0; r < rows; r++, from += stride, cosines += half, sines += half)
    for (int64_t h = 0; h < heads; h++, to += 2 * half)
      for (int64_t i = 0, left = half; i < half; i += W, left -= W) {
        const Number *head = from + h * 2 * half + i;
        vf x = wide_part(head, left), y = wide_part(head + half, left);
        vf c = wide_part(cosines + i, left), s = wide_part(sines + i, left);
        narrow_part(to + i, rounded<Angle>(x * c) - rounded<Angle>(y * s), left);
        narrow_part(to + half + i, rounded<Angle>(y * c) + rounded<Angle>(x * s), left);
      }
}

static void gate(svlm::Format format, const char *from, int64_t rows, int64_t size, char *to) {
  if (format == svlm::kFloat32) gate_rows((const float *)from, rows, size, (float *)to);
  else gate_rows((const bf16 *)from, rows, size, (bf16 *)to);
}

template <class Number>
static void turn_by(svlm::Format angles, const Number *from, int64_t stride, const char *cosines, const char *sines,
                    int64_t rows, int64_t heads, int64_t half, Number *to) {
  if (angles == svlm::kFloat32)
    turn_rows(from, stride, (const float *)cosines, (const float *)sines, rows, heads, half, to);
  else
    turn_rows(from, stride, (const bf16 *)cosines, (const bf16 *)sines, rows, heads, half, to);
}

static void turn(svlm::Format format, svlm::Format angles, const char *from, int64_t stride, const char *cosines,
                 const char *sines, int64_t rows, int64_t heads, int64_t half, char *to) {
  if (format == svlm::kFloat32)
    turn_by(angles, (const float *)from, stride, cosines, sines, rows, heads, half, (float *)to);
  else
    turn_by(angles, (const bf16 *)from, stride, cosines, sines, rows, heads, half, (bf16 *)to);
}
