/* Stacks of transformer blocks with int8 weights, for one core of a processor with AVX-512 VNNI.
 *
 * A row of activations is quantised by its own largest value, and every row is computed alone and in the
 * same order: what a row becomes never depends on the rows beside it. Weights are stored as w + 128 in
 * tiles of 16 outputs, [n / 16][k / 4][16][4], as `vpdpbusd` reads them:
 *
 *     sum_k (w + 128) x = sum_k w x + 128 sum_k x
 *
 * Matrices are row-major float32. Shapes are in the letters of the model: B contexts, W beams, S context
 * tokens, C width, T positions so far. Nothing is allocated here; the caller hands in scratch memory.
 */

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HIGR_X86 1
#include <immintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))

typedef struct {
    int32_t outputs, inputs;  /* multiples of 16, filled up with zeros */
    const uint8_t *weights;
    const float *scales;      /* (outputs) */
    const float *norm;        /* (inputs) weight of the layer norm before it; null: none */
} Linear;

typedef struct {
    int32_t layers, width, heads, kv_heads, inner;
    int32_t cross;            /* whether a block looks at the context */
    const Linear *linears;    /* a layer: [cross q, cross out,] q k v, out, gate up, down */
    const float *norm;        /* (width) of the layer norm behind the last block */
} Stack;

/* Raised with every change of a structure or signature; the caller compares. */
EXPORT int32_t higr_interface(void) { return 2; }

EXPORT int32_t higr_supported(void)
{
#ifdef HIGR_X86
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
#else
    return 0;
#endif
}

#ifdef HIGR_X86

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")
#endif

#define INLINE static inline __attribute__((always_inline))

#define LANES(n) (((n) + 15) / 16 * 16)

INLINE __mmask16 lanes_left(int n) { return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff); }

/* -- elementwise ------------------------------------------------------------------------------- */

INLINE float reduce_sum(const float *x, int n)
{
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
    return _mm512_reduce_add_ps(sum);
}

/* exp of 16 numbers of at most 0; a polynomial of degree 6 on half a power of two (error below 2e-7). */
INLINE __m512 exponential(__m512 x)
{
    x = _mm512_max_ps(x, _mm512_set1_ps(-87.0f));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 720);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* silu(gate) * up; exp of minus the magnitude serves both signs. */
INLINE __m512 swiglu(__m512 gate, __m512 up)
{
    __m512 e = exponential(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_abs_ps(gate)));
    __m512 low = _mm512_div_ps(e, _mm512_add_ps(_mm512_set1_ps(1.0f), e));    /* sigmoid(-|gate|) */
    __m512 high = _mm512_sub_ps(_mm512_set1_ps(1.0f), low);
    __mmask16 negative = _mm512_cmp_ps_mask(gate, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mul_ps(_mm512_mul_ps(gate, _mm512_mask_mov_ps(high, negative, low)), up);
}

static void layer_norm(const float *x, const float *weight, int n, float *out)
{
    float mean = reduce_sum(x, n) / n;
    __m512 m = _mm512_set1_ps(mean), squares = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i), m);
        squares = _mm512_fmadd_ps(d, d, squares);
    }
    __m512 scale = _mm512_set1_ps(1.0f / __builtin_sqrtf(_mm512_reduce_add_ps(squares) / n + 1e-5f));
    for (int i = 0; i < n; i += 16) {
        __m512 d = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), m), scale);
        _mm512_storeu_ps(out + i, _mm512_mul_ps(d, _mm512_loadu_ps(weight + i)));
    }
}

/* A row as int8. Returns its scale; *sum is the sum of the int8 values. */
static float quantise(const float *x, int n, int8_t *out, int32_t *sum)
{
    __m512 most = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
    float largest = _mm512_reduce_max_ps(most);
    __m512 by = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
    __m512i total = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 16) {
        __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), by));
        __m128i bytes = _mm512_cvtsepi32_epi8(v);
        total = _mm512_add_epi32(total, _mm512_cvtepi8_epi32(bytes));
        _mm_storeu_si128((__m128i *)(out + i), bytes);
    }
    *sum = _mm512_reduce_add_epi32(total);
    return largest / 127.0f;
}

/* -- the matrix product ------------------------------------------------------------------------ */

#define ROWS 12
#define UNROLL _Pragma("GCC unroll 32")

/* R rows times G tiles of 16 outputs; R and G are constants, so that all sums stay in registers. */
INLINE void tiles(int R, int G, const int8_t *x, int k, const uint8_t *w, int32_t *out)
{
    __m512i sum[ROWS * 4];
    UNROLL for (int i = 0; i < R * G; i++) sum[i] = _mm512_setzero_si512();
    for (int i = 0; i < k; i += 4) {
        __m512i tile[4];
        UNROLL for (int g = 0; g < G; g++) {
            tile[g] = _mm512_loadu_si512(w + ((int64_t)g * k + i) * 16);
            _mm_prefetch((const char *)w + ((int64_t)(g + G) * k + i) * 16, _MM_HINT_T1);
        }
        UNROLL for (int r = 0; r < R; r++) {
            int32_t four;
            memcpy(&four, x + (int64_t)r * k + i, 4);
            __m512i row = _mm512_set1_epi32(four);
            UNROLL for (int g = 0; g < G; g++) sum[r * G + g] = _mm512_dpbusd_epi32(sum[r * G + g], tile[g], row);
        }
    }
    UNROLL for (int i = 0; i < R * G; i++) _mm512_storeu_si512(out + i * 16, sum[i]);
}

#define CASE(R, G)                                                                                       \
    case R * 8 + G: tiles(R, G, x, k, w, out); break;

/* out (rows, 16 * count) int32 = x (rows, k) times `count` tiles: 1, 2 or, of up to 6 rows, 4. */
static void multiply(const int8_t *x, int rows, int k, const uint8_t *w, int count, int32_t *out)
{
    switch (rows * 8 + count) {
        CASE(1, 4) CASE(2, 4) CASE(3, 4) CASE(4, 4) CASE(5, 4) CASE(6, 4)
        CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2) CASE(5, 2) CASE(6, 2)
        CASE(7, 2) CASE(8, 2) CASE(9, 2) CASE(10, 2) CASE(11, 2) CASE(12, 2)
        CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1)
        CASE(7, 1) CASE(8, 1) CASE(9, 1) CASE(10, 1) CASE(11, 1) CASE(12, 1)
    }
}

/* y = linear(f(x)), or y += it. f: the layer norm if there is one; with `gated`, silu(gate) * up of rows
 * that hold both, one behind the other. Rows are taken ROWS at a time; scratch: (4 + ROWS) * inputs bytes. */
static void linear(const Linear *l, const float *x, int rows, int gated, int add, float *y, char *scratch)
{
    int k = l->inputs, n = l->outputs;
    float *row = (float *)scratch;
    int8_t *q = (int8_t *)(row + k);
    float scale[ROWS];
    int32_t sum[ROWS];
    for (int first = 0; first < rows; first += ROWS) {
        int count = rows - first < ROWS ? rows - first : ROWS;
        for (int r = 0; r < count; r++) {
            const float *from = x + (int64_t)(first + r) * (gated ? 2 * k : k);
            if (gated) {
                for (int i = 0; i < k; i += 16)
                    _mm512_storeu_ps(row + i, swiglu(_mm512_loadu_ps(from + i), _mm512_loadu_ps(from + k + i)));
                from = row;
            } else if (l->norm) {
                layer_norm(from, l->norm, k, row);
                from = row;
            }
            scale[r] = quantise(from, k, q + (int64_t)r * k, &sum[r]);
        }
        for (int at = 0, step; at < n; at += step) {
            int left = n - at;
            step = count <= 6 && left >= 64 ? 64 : left >= 32 ? 32 : 16;
            int32_t block[ROWS * 64];
            multiply(q, count, k, l->weights + (int64_t)at * k, step / 16, block);
            for (int r = 0; r < count; r++) {
                float *to = y + (int64_t)(first + r) * n + at;
                __m512 by = _mm512_set1_ps(scale[r]);
                __m512i shift = _mm512_set1_epi32(128 * sum[r]);
                for (int i = 0; i < step; i += 16) {
                    __m512i v = _mm512_sub_epi32(_mm512_loadu_si512(block + r * step + i), shift);
                    __m512 out = _mm512_mul_ps(_mm512_cvtepi32_ps(v),
                                               _mm512_mul_ps(by, _mm512_loadu_ps(l->scales + at + i)));
                    if (add) out = _mm512_add_ps(out, _mm512_loadu_ps(to + i));
                    _mm512_storeu_ps(to + i, out);
                }
            }
        }
    }
}

/* -- attention --------------------------------------------------------------------------------- */

/* scores (LANES(length)) become shares that sum to one; those behind `length` are not looked at. */
INLINE void softmax(float *scores, int length)
{
    const __m512 never = _mm512_set1_ps(-__builtin_inff());
    __m512 most = never, total = _mm512_setzero_ps();
    for (int at = 0; at < length; at += 16)
        most = _mm512_mask_max_ps(most, lanes_left(length - at), most, _mm512_loadu_ps(scores + at));
    __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    for (int at = 0; at < length; at += 16) {
        __m512 a = _mm512_loadu_ps(scores + at);
        __mmask16 seen = _mm512_mask_cmp_ps_mask(lanes_left(length - at), a, never, _CMP_GT_OQ);
        a = _mm512_maskz_mov_ps(seen, exponential(_mm512_sub_ps(a, top)));
        total = _mm512_add_ps(total, a);
        _mm512_storeu_ps(scores + at, a);
    }
    __m512 by = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(total));
    for (int at = 0; at < length; at += 16)
        _mm512_storeu_ps(scores + at, _mm512_mul_ps(_mm512_loadu_ps(scores + at), by));
}

/* Scores of R queries at L registers of tokens. */
INLINE void score_tokens(int R, int L, int c, const float *queries, int apart, const float *keys, int stride, float by,
                         const float *bias, float *scores)
{
    __m512 sum[8];
    UNROLL for (int i = 0; i < R * L; i++) sum[i] = _mm512_setzero_ps();
    for (int i = 0; i < c; i++) {
        __m512 key[4];
        UNROLL for (int l = 0; l < L; l++) key[l] = _mm512_loadu_ps(keys + (int64_t)i * stride + l * 16);
        UNROLL for (int r = 0; r < R; r++) {
            __m512 q = _mm512_set1_ps(queries[(int64_t)r * apart + i]);
            UNROLL for (int l = 0; l < L; l++) sum[r * L + l] = _mm512_fmadd_ps(q, key[l], sum[r * L + l]);
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int l = 0; l < L; l++)
            _mm512_storeu_ps(scores + r * stride + l * 16,
                             _mm512_fmadd_ps(sum[r * L + l], _mm512_set1_ps(by), _mm512_loadu_ps(bias + l * 16)));
}

/* R sums of values, weighted by scores, at columns i .. i + 31 of c. */
INLINE void sum_values(int R, int c, const float *scores, int stride, const float *values, int length, int i, float *out,
                       int width)
{
    __mmask16 here[2] = {lanes_left(c - i), c - i > 16 ? lanes_left(c - i - 16) : 0};
    __m512 sum[8];
    UNROLL for (int r = 0; r < R * 2; r++) sum[r] = _mm512_setzero_ps();
    for (int at = 0; at < length; at++) {
        const float *v = values + (int64_t)at * c + i;
        __m512 low = _mm512_maskz_loadu_ps(here[0], v), high = _mm512_maskz_loadu_ps(here[1], v + 16);
        UNROLL for (int r = 0; r < R; r++) {
            __m512 p = _mm512_set1_ps(scores[r * stride + at]);
            sum[2 * r] = _mm512_fmadd_ps(p, low, sum[2 * r]);
            sum[2 * r + 1] = _mm512_fmadd_ps(p, high, sum[2 * r + 1]);
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        _mm512_mask_storeu_ps(out + (int64_t)r * width + i, here[0], sum[2 * r]);
        _mm512_mask_storeu_ps(out + (int64_t)r * width + i + 16, here[1], sum[2 * r + 1]);
    }
}

#define QUERIES 4

INLINE void attend_head(int R, int c, const float *queries, int apart, const float *keys, const float *values, int length,
                        const float *bias, float *scores, float *out, int width)
{
    int stride = LANES(length), at = 0;
    float by = 1.0f / __builtin_sqrtf((float)c);
    for (; at + 16 < stride; at += 32)
        score_tokens(R, 2, c, queries, apart, keys + at, stride, by, bias + at, scores + at);
    if (at < stride) score_tokens(R, 1, c, queries, apart, keys + at, stride, by, bias + at, scores + at);
    UNROLL for (int r = 0; r < R; r++) softmax(scores + r * stride, length);
    for (int i = 0; i < c; i += 32) sum_values(R, c, scores, stride, values, length, i, out, width);
}

/* Queries (rows, `apart` columns of which heads * c) over the tokens of their context. keys: (kv_heads, c,
 * LANES(S)); values: (kv_heads, S, c); bias: (LANES(S)), -inf behind S; scores: QUERIES * LANES(S) floats;
 * out: (rows, heads * c). A head's keys and values stay in the nearest cache for all rows. */
static void attend_context(const Stack *s, const float *queries, int apart, int rows, const float *keys,
                           const float *values, int length, const float *bias, float *scores, float *out)
{
    int c = s->width / s->heads, group = s->heads / s->kv_heads, stride = LANES(length);
    for (int head = 0; head < s->heads; head++) {
        const float *k = keys + (int64_t)(head / group) * c * stride;
        const float *v = values + (int64_t)(head / group) * length * c;
        int row = 0;
        for (; row + QUERIES <= rows; row += QUERIES)
            attend_head(QUERIES, c, queries + (int64_t)row * apart + head * c, apart, k, v, length, bias, scores,
                        out + (int64_t)row * s->width + head * c, s->width);
        for (; row < rows; row++)
            attend_head(1, c, queries + (int64_t)row * apart + head * c, apart, k, v, length, bias, scores,
                        out + (int64_t)row * s->width + head * c, s->width);
    }
}

/* One query over its own sequence: `past[t]` holds keys and values, (2, kv_heads * c), of position t. */
static void attend_past(const Stack *s, const float *query, const float *const *past, int length, float *scores,
                        float *out)
{
    int c = s->width / s->heads, group = s->heads / s->kv_heads, narrow = c * s->kv_heads;
    float by = 1.0f / __builtin_sqrtf((float)c);
    for (int head = 0; head < s->heads; head++) {
        const float *q = query + head * c;
        int of = head / group * c;
        for (int t = 0; t < length; t++) {
            __m512 a = _mm512_setzero_ps();
            for (int i = 0; i < c; i += 16) {
                __mmask16 here = lanes_left(c - i);
                a = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(here, q + i), _mm512_maskz_loadu_ps(here, past[t] + of + i), a);
            }
            scores[t] = _mm512_reduce_add_ps(a) * by;
        }
        softmax(scores, length);
        for (int i = 0; i < c; i += 16) {
            __mmask16 here = lanes_left(c - i);
            __m512 a = _mm512_setzero_ps();
            for (int t = 0; t < length; t++)
                a = _mm512_fmadd_ps(_mm512_set1_ps(scores[t]), _mm512_maskz_loadu_ps(here, past[t] + narrow + of + i), a);
            _mm512_mask_storeu_ps(out + head * c + i, here, a);
        }
    }
}

/* Enter keys and values of a token, (kv_heads, c) each, as `attend_context` reads them. */
INLINE void enter(const Stack *s, const float *k, const float *v, float *keys, float *values, int length, int at)
{
    int c = s->width / s->heads, stride = LANES(length);
    for (int head = 0; head < s->kv_heads; head++) {
        for (int i = 0; i < c; i++) keys[((int64_t)head * c + i) * stride + at] = k[head * c + i];
        memcpy(values + ((int64_t)head * length + at) * c, v + head * c, c * sizeof(float));
    }
}

/* -- stacks ------------------------------------------------------------------------------------ */

INLINE int narrow_of(const Stack *s) { return s->width / s->heads * s->kv_heads; }

/* Columns of the widest matrix between two linear layers of a block. */
INLINE int widest_of(const Stack *s)
{
    int wide = LANES(s->width + 2 * narrow_of(s));
    return wide > 2 * s->inner ? wide : 2 * s->inner;
}

/* Bytes that a call on `rows` rows over at most `length` tokens or positions needs. */
EXPORT int64_t higr_scratch(const Stack *s, int32_t rows, int32_t length)
{
    int64_t most = s->width > s->inner ? s->width : s->inner;
    int64_t tokens = (2 * narrow_of(s) + QUERIES) * LANES(length);
    return 4 * (rows * (int64_t)(widest_of(s) + s->width) + tokens) + (4 + ROWS) * most + 8 * length;
}

/* y (rows, outputs) = linear(x (rows, inputs)); scratch: (4 + ROWS) * inputs bytes. */
EXPORT void higr_linear(const Linear *l, const float *x, int32_t rows, float *y, char *scratch)
{
    linear(l, x, rows, 0, 0, y, scratch);
}

INLINE void last_norm(const Stack *s, float *x, int rows)
{
    for (int row = 0; row < rows; row++)
        layer_norm(x + (int64_t)row * s->width, s->norm, s->width, x + (int64_t)row * s->width);
}

/* x (B * S, C) through all blocks and the last norm, in place; bias: (B, LANES(S)), 0 or -inf. */
EXPORT void higr_encode(const Stack *s, float *x, int32_t batch, int32_t length, const float *bias, char *scratch)
{
    int c = s->width, rows = batch * length, narrow = narrow_of(s), stride = LANES(length);
    float *y = (float *)scratch, *seen = y + (int64_t)rows * widest_of(s), *keys = seen + (int64_t)rows * c;
    float *values = keys + (int64_t)narrow * stride, *scores = values + (int64_t)narrow * stride;
    char *rest = (char *)(scores + QUERIES * stride);
    for (int layer = 0; layer < s->layers; layer++) {
        const Linear *l = s->linears + layer * 4;
        linear(&l[0], x, rows, 0, 0, y, rest);
        for (int b = 0; b < batch; b++) {
            const float *own = y + (int64_t)b * length * l[0].outputs;
            for (int at = 0; at < length; at++) {
                const float *k = own + (int64_t)at * l[0].outputs + c;
                enter(s, k, k + narrow, keys, values, length, at);
            }
            attend_context(s, own, l[0].outputs, length, keys, values, length, bias + (int64_t)b * stride, scores,
                           seen + (int64_t)b * length * c);
        }
        linear(&l[1], seen, rows, 0, 1, x, rest);
        linear(&l[2], x, rows, 0, 0, y, rest);
        linear(&l[3], y, rows, 1, 1, x, rest);
    }
    last_norm(s, x, rows);
}

/* Keys and values of the context for all layers, from y (B, S, layers, 2, kv_heads * c), projected:
 * keys (B, layers, kv_heads, c, LANES(S)), values (B, layers, kv_heads, S, c). */
EXPORT void higr_context(const Stack *s, const float *y, int32_t batch, int32_t length, float *keys, float *values)
{
    int narrow = narrow_of(s), stride = LANES(length), wide = s->layers * 2 * narrow;
    for (int b = 0; b < batch; b++)
        for (int layer = 0; layer < s->layers; layer++) {
            for (int at = 0; at < length; at++) {
                const float *k = y + ((int64_t)b * length + at) * wide + layer * 2 * narrow;
                enter(s, k, k + narrow, keys, values, length, at);
            }
            keys += (int64_t)narrow * stride;
            values += (int64_t)narrow * length;
        }
}

/* One more position, t, of B * W sequences: x (B * W, C) through all blocks and the last norm, in place.
 * keys, values, bias: the context's, of S tokens; null without cross-attention. past: t + 1 matrices
 * (any rows, layers, 2, kv_heads * c) of keys and values, the last to be filled by row; ancestors:
 * (B * W, t) int32, the row of each sequence in each matrix before; null: its own. */
EXPORT void higr_step(const Stack *s, float *x, int32_t batch, int32_t beams, const float *keys, const float *values,
                      const float *bias, int32_t length, float *const *past, const int32_t *ancestors, int32_t t,
                      char *scratch)
{
    int c = s->width, rows = batch * beams, narrow = narrow_of(s), stride = LANES(length), each = s->cross ? 6 : 4;
    int longest = QUERIES * LANES(length > t + 1 ? length : t + 1);
    float *y = (float *)scratch, *seen = y + (int64_t)rows * widest_of(s), *scores = seen + (int64_t)rows * c;
    const float **own = (const float **)(scores + longest);
    char *rest = (char *)(own + t + 1);
    for (int layer = 0; layer < s->layers; layer++) {
        const Linear *l = s->linears + layer * each;
        if (s->cross) {
            linear(&l[0], x, rows, 0, 0, y, rest);
            for (int b = 0; b < batch; b++) {
                int64_t of = ((int64_t)b * s->layers + layer) * narrow, row = (int64_t)b * beams;
                attend_context(s, y + row * l[0].outputs, l[0].outputs, beams, keys + of * stride, values + of * length,
                               length, bias + (int64_t)b * stride, scores, seen + row * c);
            }
            linear(&l[1], seen, rows, 0, 1, x, rest);
            l += 2;
        }
        linear(&l[0], x, rows, 0, 0, y, rest);
        for (int row = 0; row < rows; row++) {
            const float *q = y + (int64_t)row * l[0].outputs;
            for (int at = 0; at < t; at++) {
                int64_t from = ancestors ? ancestors[(int64_t)row * t + at] : row;
                own[at] = past[at] + (from * s->layers + layer) * 2 * narrow;
            }
            float *now = past[t] + ((int64_t)row * s->layers + layer) * 2 * narrow;
            memcpy(now, q + c, 2 * narrow * sizeof(float));
            own[t] = now;
            attend_past(s, q, own, t + 1, scores, seen + (int64_t)row * c);
        }
        linear(&l[1], seen, rows, 0, 1, x, rest);
        linear(&l[2], x, rows, 0, 0, y, rest);
        linear(&l[3], y, rows, 1, 1, x, rest);
    }
    last_norm(s, x, rows);
}

#include "search.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
