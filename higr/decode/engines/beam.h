/* The beam step: of all children of all beams the best that may be entered.
 *
 * What may not be entered is asked only of a child whose score is among the best so far, so what a constraint
 * costs hardly depends on how many children there are. Of equal scores the first is kept: that of the better
 * parent, and of one parent that of the lower column. Part of int8.c.
 */

/* Edges from the n nodes of one depth to the nodes of the next (`higr.prefix_tree.Nodes`). */
typedef struct {
    int32_t columns;        /* C, most children of a node, or all codes */
    int32_t nowhere;        /* number of nodes below: no child */
    const int32_t *table;   /* (n + 1, C) child by code; null: children of i are first[i] .. first[i + 1] - 1 */
    const int32_t *first;   /* (n + 2) */
    const int32_t *spoken;  /* code that the model speaks for a child; null: its column */
    const float *fresh;     /* 1 where the discount is due; null: nowhere */
} Edges;

/* What is shut at one depth (`higr.gate.Gate`), for every row of a batch or for every beam. */
typedef struct {
    int32_t rows, entries, words;
    const int32_t *doors;    /* (rows, entries) parents of shut children, -1 for none */
    const int64_t *columns;  /* (rows, entries) */
    const int64_t *bits;     /* (any, words); null: not asked */
    const int32_t *which;    /* row of `bits` for a child; null: start + child */
    const uint8_t *inside;   /* whether start + child has its bits; null: all have */
    const int64_t *start;    /* (rows); null: 0 */
    const int64_t *open;     /* (rows, words) bits that count; null: all */
    const int32_t *only;     /* (rows) the one child that is not shut, -1: as all else says; null: so for all */
} Gate;

typedef struct {
    float key, score;  /* what is compared, and the score */
    int32_t parent, node, code;
} Beam;

INLINE int is_shut(const Gate *gate, int64_t row, int32_t parent, int32_t column, int32_t child)
{
    if (gate->only && gate->only[row] >= 0) return child != gate->only[row];
    if (gate->bits) {
        int64_t at = child + (gate->start ? gate->start[row] : 0), some = 0;
        const int64_t *bits = gate->bits + (gate->which ? gate->which[child] : at) * gate->words;
        for (int i = 0; i < gate->words; i++) some |= bits[i] & (gate->open ? gate->open[row * gate->words + i] : -1);
        if (!some || (gate->inside && !gate->inside[at])) return 1;
    }
    const int32_t *doors = gate->doors + row * gate->entries;
    for (int at = 0; at < gate->entries; at += 16) {
        __mmask16 here = lanes_left(gate->entries - at);
        __m512i of = _mm512_maskz_loadu_epi32(here, doors + at);
        unsigned met = _mm512_mask_cmpeq_epi32_mask(here, of, _mm512_set1_epi32(parent));
        for (; met; met &= met - 1)
            if (gate->columns[row * gate->entries + at + __builtin_ctz(met)] == column) return 1;
    }
    return 0;
}

/* Enter a beam whose key is above the last of a full list. Keys fall; equal ones stay in the order they came. */
INLINE int keep(Beam *best, int count, int width, Beam beam)
{
    int at = count < width ? count++ : width - 1;
    for (; at > 0 && best[at - 1].key < beam.key; at--) best[at] = best[at - 1];
    best[at] = beam;
    return count;
}

/* What turns logits (K) into log-probabilities: they lose *top and then the value returned. */
static float log_sum(const float *logits, int codes, float *top)
{
    __m512 most = _mm512_set1_ps(-__builtin_inff()), sum = _mm512_setzero_ps();
    for (int at = 0; at < codes; at += 16) {
        __mmask16 here = lanes_left(codes - at);
        most = _mm512_mask_max_ps(most, here, most, _mm512_maskz_loadu_ps(here, logits + at));
    }
    *top = _mm512_reduce_max_ps(most);
    for (int at = 0; at < codes; at += 16) {
        __mmask16 here = lanes_left(codes - at);
        __m512 below = _mm512_sub_ps(_mm512_maskz_loadu_ps(here, logits + at), _mm512_set1_ps(*top));
        sum = _mm512_mask_add_ps(sum, here, sum, exponential(below));
    }
    return __builtin_logf(_mm512_reduce_add_ps(sum));
}

/* The best continuations of one row's beams; returns how many there are, at most `width`.
 * nodes, scores: (beams); logits: (beams, stride), of which `codes` count; row: of the gate, the same for all
 * beams (each 0) or of the first of them (each 1); spread: nats that a key loses for each better sibling;
 * best: room for twice `width`. */
static int best_children(const Edges *edges, const Gate *gate, int64_t row, int each, int beams, const int32_t *nodes,
                         const float *scores, const float *logits, int codes, int stride, float discount, float spread,
                         int width, Beam *best)
{
    const float never = -__builtin_inff();
    Beam *siblings = best + width;
    int count = 0;
    for (int parent = 0; parent < beams; parent++, logits += stride, row += each) {
        if (!(scores[parent] > never)) continue;
        float top, rest = log_sum(logits, codes, &top);
        int32_t node = nodes[parent], first = 0, columns = edges->columns;
        if (!edges->table) {
            first = edges->first[node];
            columns = edges->first[node + 1] - first;
        }
        int born = 0;
        for (int column = 0; column < columns; column++) {
            int32_t child = edges->table ? edges->table[(int64_t)node * columns + column] : first + column;
            int32_t code = edges->spoken ? edges->spoken[child] : column;
            float gained = logits[code] - top - rest;
            if (edges->fresh) gained -= discount * edges->fresh[child];
            float score = scores[parent] + gained;
            float least = count == width ? best[width - 1].key : never;
            if (born == width && siblings[width - 1].key > least) least = siblings[width - 1].key;
            if (!(score > least) || child == edges->nowhere || is_shut(gate, row, node, column, child)) continue;
            Beam beam = {score, score, parent, child, code};
            born = keep(siblings, born, width, beam);
        }
        for (int rank = 0; rank < born; rank++) {
            siblings[rank].key -= spread * rank;
            if (count < width || siblings[rank].key > best[width - 1].key) count = keep(best, count, width, siblings[rank]);
        }
    }
    return count;
}
