/* Which nodes of the prefix tree hold an item that may be chosen. Part of int8.c.
 *
 * It is asked node by node, of those that a search would enter, and nothing is kept up to date while a slate is
 * filled. The items below a node are a range, so how many of them were taken is counted in the list of those that
 * were: none mostly, and then the node's bits say all; or all of them. Only between the two, and where a node below
 * may be closed, are children looked at.
 */

/* Nodes of depth d + 1, and the edges to them from those of depth d (`higr.prefix_tree.Nodes`). */
typedef struct {
    int32_t columns;        /* C, most children of a node, or all codes */
    int32_t nowhere;        /* number of nodes: no child */
    const int32_t *table;   /* (n + 1, C) child by code; null: children of i are first[i] .. first[i + 1] - 1 */
    const int32_t *first;   /* (n + 2) */
    const int32_t *spoken;  /* code that the model speaks for a child; null: its column */
    const float *fresh;     /* 1 where the discount is due; null: nowhere */
    const int32_t *items;   /* (n + 2) first item of a node; null: node and item are one number */
    const int32_t *facts;   /* (n + 1, 3) of which the first is the parent */
} Edges;

/* See `higr.gate.NodeBits`. */
typedef struct {
    const int64_t *table;   /* null: nothing is asked */
    const int32_t *which;
    const uint8_t *inside;
    const int64_t *start;
} NodeBits;

/* What was asked of the nodes of a depth; null where nothing was. */
typedef struct {
    NodeBits bits;
    const int32_t *blocked; /* (rows, `blocks`) */
    int64_t blocks;
    const int32_t *pinned;  /* (rows, M) node of the pinned prefix */
    const int64_t *most;    /* (rows) items under one node */
} Limits;

/* See `higr.eligibility.Asked`. */
typedef struct {
    int32_t rows, depth, words, taken, given, position, positions;
    const int64_t *slots;   /* (rows, `taken`); the first `given` rise, the others were chosen */
    const int64_t *pinned;  /* (rows, M) item at each position; null: none anywhere */
    const int64_t *most;    /* (rows) items of one kind; null: any number */
    NodeBits items;
    const Limits *limits;   /* a depth */
} Asked;

/* Longest list that is read through rather than searched. */
enum { SHORT = 64 };

/* What was asked of one row at its position. */
typedef struct {
    const Edges *edges;
    const Asked *asked;
    int64_t row;
    int32_t *held;          /* (D, M) nodes that count under caps at this position */
    int64_t *open;          /* (words) kinds that may be chosen */
    int32_t closing;        /* the deepest depth at which a node may be closed */
    int32_t pinned;         /* so many codes are given */
} View;

INLINE int is_some_open(const View *v, const NodeBits *bits, int32_t node)
{
    if (!bits->table) return 1;
    int64_t at = node + (bits->start ? bits->start[v->row] : 0), some = 0;
    const int64_t *words = bits->table + (bits->which ? bits->which[node] : at) * v->asked->words;
    for (int i = 0; i < v->asked->words; i++) some |= words[i] & v->open[i];
    return some && (!bits->inside || bits->inside[at]);
}

/* How many of `count` slots are from first to end - 1. */
INLINE int64_t count_from_to(const int64_t *slots, int count, int64_t first, int64_t end)
{
    __m512i from = _mm512_set1_epi64(first), to = _mm512_set1_epi64(end);
    int64_t found = 0;
    for (int at = 0; at < count; at += 8) {
        __mmask8 here = (__mmask8)lanes_left(count - at);
        __m512i slot = _mm512_maskz_loadu_epi64(here, slots + at);
        here = _mm512_mask_cmpge_epi64_mask(here, slot, from);
        found += __builtin_popcount(_mm512_mask_cmplt_epi64_mask(here, slot, to));
    }
    return found;
}

/* How many of `count` rising slots are below a bound. */
INLINE int64_t count_below(const int64_t *slots, int count, int64_t bound)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (slots[middle] < bound) low = middle + 1; else high = middle;
    }
    return low;
}

/* How many of the items first .. end - 1 were excluded or pinned. */
INLINE int64_t count_given(const View *v, int64_t first, int64_t end)
{
    const int64_t *slots = v->asked->slots + v->row * v->asked->taken;
    int given = v->asked->given;
    if (given <= SHORT) return count_from_to(slots, given, first, end);
    int64_t before = count_below(slots, given, first);
    return count_below(slots + before, given - before, end);
}

/* How many of the items first .. end - 1 were excluded, pinned or chosen. What was pinned may be chosen, too. */
INLINE int64_t count_taken(const View *v, int64_t first, int64_t end)
{
    const int64_t *chosen = v->asked->slots + v->row * v->asked->taken + v->asked->given;
    int64_t taken = count_given(v, first, end);
    if (!count_from_to(chosen, v->asked->position, first, end)) return taken;
    for (int m = 0; m < v->asked->position; m++)
        taken += chosen[m] >= first && chosen[m] < end && !count_given(v, chosen[m], chosen[m] + 1);
    return taken;
}

/* Whether a node is blocked or at its cap. */
INLINE int is_closed(const View *v, int depth, int32_t node)
{
    const Limits *limits = &v->asked->limits[depth - 1];
    for (int i = 0; i < limits->blocks; i++)
        if (limits->blocked[v->row * limits->blocks + i] == node) return 1;
    if (!limits->most) return 0;
    int64_t held = 0;
    for (int m = 0; m < v->asked->positions; m++) held += v->held[(depth - 1) * v->asked->positions + m] == node;
    return held >= limits->most[v->row];
}

/* Whether a node of depth 1 .. D holds an item that may be chosen. */
static int is_alive(const View *v, int depth, int32_t node)
{
    const Asked *asked = v->asked;
    const Edges *edges = &v->edges[depth - 1];
    if (!is_some_open(v, &asked->limits[depth - 1].bits, node) || is_closed(v, depth, node)) return 0;
    int32_t first = edges->items ? edges->items[node] : node, end = edges->items ? edges->items[node + 1] : node + 1;
    int64_t taken = count_taken(v, first, end);
    if (taken == end - first) return 0;
    if (depth >= v->closing && (!taken || !asked->words)) return 1;
    if (depth == asked->depth) {
        for (int32_t slot = first; slot < end; slot++)
            if (is_some_open(v, &asked->items, slot) && !count_taken(v, slot, slot + 1)) return 1;
        return 0;
    }
    for (int32_t child = edges[1].first[node]; child < edges[1].first[node + 1]; child++)
        if (is_alive(v, depth + 1, child)) return 1;
    return 0;
}

/* Whether a beam may enter a node of that depth. */
INLINE int is_enterable(const View *v, int depth, int32_t node)
{
    const Asked *asked = v->asked;
    if (depth <= v->pinned)
        return node == asked->limits[depth - 1].pinned[v->row * asked->positions + asked->position];
    return is_alive(v, depth, node);
}

/* The leaf of an item. */
static int32_t leaf_of(const Edges *leaves, int64_t slot)
{
    if (!leaves->items) return slot;
    int32_t low = 0, high = leaves->nowhere;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (leaves->items[middle + 1] <= slot) low = middle + 1; else high = middle;
    }
    return low;
}

INLINE int64_t view_bytes(const Asked *asked)
{
    return (asked->words + asked->positions * (int64_t)(1 + asked->depth)) * sizeof(int64_t);
}

/* Close the kinds of which a row holds as many as it may. */
static void close_kinds(View *v, const int64_t *held)
{
    const Asked *asked = v->asked;
    for (int m = 0; m < asked->positions; m++) {
        int32_t kind = asked->items.which[held[m]];
        int64_t alike = 0;
        for (int other = 0; other < asked->positions; other++) alike += asked->items.which[held[other]] == kind;
        if (!kind || alike < asked->most[v->row]) continue;
        for (int i = 0; i < asked->words; i++) v->open[i] &= ~asked->items.table[(int64_t)kind * asked->words + i];
    }
}

/* Look at a row. Under caps counts what was chosen before this position and what is pinned behind it.
 * room: `view_bytes`. */
static void look(View *v, const Edges *edges, const Asked *asked, int64_t row, char *room)
{
    int depth = asked->depth, positions = asked->positions, now = asked->position;
    const Edges *leaves = &edges[depth - 1];
    const int64_t *chosen = asked->slots + row * asked->taken + asked->given;
    const int64_t *pinned = asked->pinned ? asked->pinned + row * positions : 0;
    int64_t none = leaves->items ? leaves->items[leaves->nowhere] : leaves->nowhere;
    int64_t *open = (int64_t *)room, *held = open + asked->words;
    *v = (View){edges, asked, row, (int32_t *)(held + positions), open, 0, 0};
    for (int i = 0; i < asked->words; i++) open[i] = -1;
    for (int d = 1; d <= depth; d++)
        if (asked->limits[d - 1].blocks || asked->limits[d - 1].most) v->closing = d;
    for (int m = 0; m < positions; m++) {
        int later = pinned && m > now;
        held[m] = m < now ? chosen[m] : later ? pinned[m] : none;
        int32_t node = leaf_of(leaves, m < now ? chosen[m] : none);
        for (int d = depth; d; d--) {
            v->held[(d - 1) * positions + m] = later ? asked->limits[d - 1].pinned[row * positions + m] : node;
            node = edges[d - 1].facts[3 * (int64_t)node];
        }
    }
    if (asked->most) close_kinds(v, held);
    if (!pinned) return;
    if (pinned[now] < none) v->pinned = depth;
    for (int d = depth; d && !v->pinned; d--) {
        int32_t node = asked->limits[d - 1].pinned[row * positions + now];
        if (node < edges[d - 1].nowhere && is_alive(v, d, node)) v->pinned = d;
    }
}
