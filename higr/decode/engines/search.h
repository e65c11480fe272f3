/* The search for an item: beam search from the root of the prefix tree to its leaves. Part of int8.c. */

#include "alive.h"
#include "beam.h"

/* Beams of a level, best first. */
typedef struct {
    float *scores;    /* (B, W); -inf: there is none, and what else it has means nothing */
    int32_t *parents; /* (B, W) beams of the level before */
    int32_t *nodes, *codes;
} Beams;

/* One step of `width` beams a row from the `beams` before. views: (B), or (B, beams) with `each`; widths: (B)
 * beams that a row keeps, null: all; spread: (B), null: 0; best: room for twice `width`. */
static void step_beams(const View *views, int each, int level, int batch, int beams, const int32_t *nodes,
                       const float *scores, const float *logits, int codes, int stride, float discount,
                       const float *spread, int width, const int32_t *widths, Beam *best, const Beams *out)
{
    for (int b = 0; b < batch; b++) {
        int64_t row = (int64_t)b * beams, to = (int64_t)b * width;
        int count = best_children(views + (each ? row : b), each, level, beams, nodes + row, scores + row,
                                  logits + row * stride, codes, stride, discount, spread ? spread[b] : 0.0f, width, best);
        if (widths && widths[b] < count) count = widths[b];
        for (int i = 0; i < width; i++) {
            Beam beam = i < count ? best[i] : (Beam){0, -__builtin_inff(), 0, views->edges[level].nowhere, 0};
            out->scores[to + i] = beam.score;
            out->parents[to + i] = beam.parent;
            out->nodes[to + i] = beam.node;
            out->codes[to + i] = beam.code;
        }
    }
}

INLINE void *part(char **scratch, int64_t bytes)
{
    char *at = *scratch;
    *scratch += (bytes + 63) / 64 * 64;
    return at;
}

static View *look_at_all(const Edges *edges, const Asked *asked, char **scratch)
{
    View *views = part(scratch, asked->rows * sizeof(View));
    for (int row = 0; row < asked->rows; row++) look(&views[row], edges, asked, row, part(scratch, view_bytes(asked)));
    return views;
}

/* Bytes that `look_at_all` needs. */
INLINE int64_t views_bytes(const Asked *asked) { return asked->rows * (sizeof(View) + view_bytes(asked) + 64) + 64; }

/* Bytes that `higr_beams` needs. */
EXPORT int64_t higr_beams_scratch(const Asked *asked, int32_t width) { return views_bytes(asked) + 2 * width * sizeof(Beam); }

/* `step_beams` of all beams that `width` lets through. logits: (B, W, K); asked: of B rows, or B * W. */
EXPORT void higr_beams(const Edges *edges, const Asked *asked, int32_t level, int32_t batch, int32_t beams,
                       const int32_t *nodes, const float *scores, const float *logits, int32_t codes, float discount,
                       const float *spread, int32_t width, float *out_scores, int32_t *parents, int32_t *out_nodes,
                       int32_t *out_codes, char *scratch)
{
    Beams out = {out_scores, parents, out_nodes, out_codes};
    const View *views = look_at_all(edges, asked, &scratch);
    step_beams(views, asked->rows > batch, level, batch, beams, nodes, scores, logits, codes, codes, discount, spread,
               width, 0, (Beam *)scratch, &out);
}

typedef struct {
    int32_t depth, codes;      /* D, K */
    const Stack *stack;
    const Linear *preference;
    const Linear *heads;       /* a level */
    const float *levels;       /* (D, C) */
    const float *embedding;    /* (D * K, C) */
} Generator;

/* Working memory of a search. */
typedef struct {
    float *x, *logits, **past;
    int32_t *ancestors[2];  /* (B * W, d) rows of a beam in the d positions so far; of this level and the next */
    Beams beams[2];
    Beam *best;
    char *rest;
} Room;

/* Lay it out for `rows` beams of all contexts, `width` of each; returns the bytes taken before `rest`. */
static int64_t lay_out(const Generator *g, int64_t rows, int width, char *scratch, Room *room)
{
    const Stack *s = g->stack;
    char *at = scratch;
    room->x = part(&at, rows * s->width * sizeof(float));
    room->logits = part(&at, rows * LANES(g->codes) * sizeof(float));
    room->past = part(&at, g->depth * sizeof(float *));
    float *past = part(&at, g->depth * rows * s->layers * 2 * narrow_of(s) * sizeof(float));
    for (int level = 0; scratch && level < g->depth; level++)
        room->past[level] = past + level * rows * s->layers * 2 * narrow_of(s);
    for (int i = 0; i < 2; i++) {
        room->ancestors[i] = part(&at, g->depth * rows * sizeof(int32_t));
        room->beams[i].scores = part(&at, rows * sizeof(float));
        room->beams[i].parents = part(&at, rows * sizeof(int32_t));
        room->beams[i].nodes = part(&at, rows * sizeof(int32_t));
        room->beams[i].codes = part(&at, rows * sizeof(int32_t));
    }
    room->best = part(&at, 2 * width * sizeof(Beam));
    room->rest = at;
    return at - scratch;
}

/* Bytes that a search of `width` beams over contexts of `length` tokens needs. */
EXPORT int64_t higr_search_scratch(const Generator *g, const Asked *asked, int32_t width, int32_t length)
{
    int32_t batch = asked->rows;
    Room room;
    int64_t rows = (int64_t)batch * width, most = higr_scratch(g->stack, rows, length > g->depth ? length : g->depth);
    return views_bytes(asked) + lay_out(g, rows, width, 0, &room) + most;
}

/* The best items of B plans (B, C): beam search from the root of the tree to its leaves, as `higr.decode.beam`.
 * edges: a level; asked: of the B rows; keys, values, bias, length: of the context, see `higr_step`; width: W;
 * scores, leaves: (B, W) of the `found` beams a row that W and the tree allow, which is returned. */
EXPORT int32_t higr_search(const Generator *g, const Edges *edges, const Asked *asked, const float *plan,
                           const float *keys, const float *values, const float *bias, int32_t length, float discount,
                           const float *spread, int32_t width, const int32_t *widths, float *scores, int64_t *leaves,
                           char *scratch)
{
    int c = g->stack->width, stride = LANES(g->codes), batch = asked->rows, beams = 1;
    const View *views = look_at_all(edges, asked, &scratch);
    Room room;
    lay_out(g, (int64_t)batch * width, width, scratch, &room);
    memset(room.beams[1].nodes, 0, batch * sizeof(int32_t));
    memset(room.beams[1].scores, 0, batch * sizeof(float));
    linear(g->preference, plan, batch, 0, 0, room.x, room.rest);
    for (int level = 0; level < g->depth; level++) {
        const Beams *before = &room.beams[!(level % 2)];
        Beams *after = &room.beams[level % 2];
        int32_t *ancestors = room.ancestors[level % 2];
        int rows = batch * beams;
        for (int row = 0; row < rows; row++) {
            float *x = room.x + (int64_t)row * c;
            if (level) memcpy(x, g->embedding + ((int64_t)(level - 1) * g->codes + before->codes[row]) * c, c * sizeof(float));
            for (int i = 0; i < c; i++) x[i] += g->levels[(int64_t)level * c + i];
        }
        higr_step(g->stack, room.x, batch, beams, keys, values, bias, length, room.past, ancestors, level, room.rest);
        linear(&g->heads[level], room.x, rows, 0, 0, room.logits, room.rest);
        int64_t most = (int64_t)beams * edges[level].columns;
        int grown = most < width ? most : width;
        step_beams(views, 0, level, batch, beams, before->nodes, before->scores, room.logits, g->codes,
                   stride, discount, spread, grown, widths, room.best, after);
        for (int row = 0; row < batch * grown; row++) {
            int32_t from = row / grown * beams + after->parents[row];
            int32_t *own = room.ancestors[!(level % 2)] + (int64_t)row * (level + 1);
            memcpy(own, ancestors + (int64_t)from * level, level * sizeof(int32_t));
            own[level] = from;
        }
        beams = grown;
    }
    const Beams *last = &room.beams[!(g->depth % 2)];
    memcpy(scores, last->scores, (int64_t)batch * beams * sizeof(float));
    for (int row = 0; row < batch * beams; row++) leaves[row] = last->nodes[row];
    return beams;
}
