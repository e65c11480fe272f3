/* The beam step: of all children of all beams the best that may be entered.
 *
 * Whether it may be entered is asked of a child only if its score is among the best so far, so what a constraint
 * costs hardly depends on how many children there are. Of equal scores the first is kept: that of the better
 * parent, and of one parent that of the lower column. Part of int8.c.
 */

typedef struct {
    float key, score;  /* what is compared, and the score */
    int32_t parent, node, code;
} Beam;

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

/* The best continuations, at most `width`, of beams at depth `level`; returns how many there are.
 * views: of every beam (each 1), or one for all (each 0); nodes, scores: (beams); logits: (beams, stride), of which
 * `codes` count; spread: nats that a key loses for each better sibling; best: room for twice `width`. */
static int best_children(const View *views, int each, int level, int beams, const int32_t *nodes, const float *scores,
                         const float *logits, int codes, int stride, float discount, float spread, int width, Beam *best)
{
    const float never = -__builtin_inff();
    const Edges *edges = &views->edges[level];
    Beam *siblings = best + width;
    int count = 0;
    for (int parent = 0; parent < beams; parent++, logits += stride, views += each) {
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
            if (!(score > least) || child == edges->nowhere || !is_enterable(views, level + 1, child)) continue;
            born = keep(siblings, born, width, (Beam){score, score, parent, child, code});
        }
        for (int rank = 0; rank < born; rank++) {
            siblings[rank].key -= spread * rank;
            if (count < width || siblings[rank].key > best[width - 1].key) count = keep(best, count, width, siblings[rank]);
        }
    }
    return count;
}
