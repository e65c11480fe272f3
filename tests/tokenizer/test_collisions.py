"""Run: pytest tests/tokenizer/test_collisions.py

The collision policies: what each gives and to whom, against serving items one by one, and around a
catalogue that is there already.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.errors import InputError
from higr.tokenizer import reassign as placing
from higr.tokenizer.collisions import CollisionReport, resolve
from higr.tokenizer.reassign import nearest_open, pack, place, unpack

# One dimension: level 1 decides the tens, level 2 the ones.
LINE = np.array([[[0.0], [10.0], [20.0]], [[0.0], [1.0], [2.0]]])


def ids(count: int) -> tuple[str, ...]:
    return tuple(f"item-{i:04d}" for i in range(count))


def latents(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def reassign(
    names: tuple[str, ...],
    codes: np.ndarray,
    z: np.ndarray,
    books: np.ndarray,
    held: np.ndarray | None = None,
) -> tuple[np.ndarray, CollisionReport]:
    return resolve("reassign", names, codes, z, books, held)


def one_by_one(
    names: tuple[str, ...], codes: np.ndarray, z: np.ndarray, books: np.ndarray, held: np.ndarray
) -> np.ndarray:
    """The oracle: items in order of fit, each looks at every codeword of every level it has to."""
    depth, size, _ = books.shape
    books, given = books.astype(np.float64), [tuple(code) for code in codes.tolist()]
    error = [
        ((latent - sum(books[d][c] for d, c in enumerate(code))) ** 2).sum()
        for latent, code in zip(z, given, strict=True)
    ]
    owned, moving = {tuple(code) for code in held.tolist()}, []
    for row in sorted(range(len(codes)), key=lambda row: (error[row], names[row])):
        if given[row] in owned:
            moving.append(row)
        owned.add(given[row])
    out = codes.copy()
    for row in moving:

        def room(prefix: tuple[int, ...]) -> int:
            return size ** (depth - len(prefix)) - sum(code[: len(prefix)] == prefix for code in owned)

        prefix = next(given[row][:level] for level in range(depth - 1, -1, -1) if room(given[row][:level]))
        residual = z[row].astype(np.float64) - sum(
            (books[d, c] for d, c in enumerate(prefix)), np.zeros(z.shape[1])
        )
        while len(prefix) < depth:
            book = books[len(prefix)]
            nearest = np.argsort(((residual - book) ** 2).sum(axis=1), kind="stable").tolist()
            code = next(code for code in nearest if room((*prefix, code)))
            residual, prefix = residual - book[code], (*prefix, code)
        owned.add(prefix)
        out[row] = prefix
    return out


def test_nothing_to_do() -> None:
    codes = np.array([[0, 0], [0, 1]])
    out, report = reassign(ids(2), codes, latents(0.0, 1.0), LINE)
    assert np.array_equal(out, codes)
    assert (report.colliding, report.moved, report.largest, report.error_after) == (0, 0, 1, 0.0)


def test_best_fitting_keeps_its_id_and_the_other_takes_the_nearest_free_codeword() -> None:
    out, report = reassign(ids(2), np.array([[1, 0], [1, 0]]), latents(10.4, 10.1), LINE)
    assert out.tolist() == [[1, 1], [1, 0]]
    assert (report.colliding, report.moved, report.left_prefix, report.largest) == (2, 1, 0, 2)
    assert report.error_before == pytest.approx(0.16)
    assert report.error_after == pytest.approx(0.36)
    assert report.to_json()["moved"] == 1


def test_a_codeword_another_item_holds_is_not_free() -> None:
    out, _ = reassign(ids(3), np.array([[1, 0], [1, 0], [1, 1]]), latents(10.4, 10.1, 11.0), LINE)
    assert out.tolist() == [[1, 2], [1, 0], [1, 1]]


def test_a_full_prefix_sends_its_last_item_to_the_nearest_other_prefix() -> None:
    codes = np.array([[1, 0], [1, 0], [1, 1], [1, 2]])
    out, report = reassign(ids(4), codes, latents(10.0, 14.0, 11.0, 12.0), LINE)
    assert out.tolist() == [[1, 0], [2, 0], [1, 1], [1, 2]]  # 14 is 6 from 20 and 14 from 0
    assert report.left_prefix == 1


def test_ties_are_settled_by_item_id() -> None:
    out, _ = reassign(("b", "a"), np.array([[1, 0], [1, 0]]), latents(10.0, 10.0), LINE)
    assert out.tolist() == [[1, 1], [1, 0]]


def test_more_items_than_semantic_ids() -> None:
    with pytest.raises(InputError, match="10 items do not fit into 9 semantic IDs"):
        reassign(ids(10), np.zeros((10, 2), int), np.zeros((10, 1)), LINE)


@st.composite
def crowded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Codes, latents, codebooks, held codes. Rounded ones have ties and codewords that coincide."""
    size, depth = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    capacity = min(size**depth, 80)
    count = draw(st.integers(1, capacity))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    crowd = draw(st.integers(1, size))  # codes come from a corner, so that prefixes overflow
    codes = rng.integers(0, crowd, size=(count, depth))
    z, books = (
        rng.normal(size=(count, 3)).astype(np.float32),
        rng.normal(size=(depth, size, 3)).astype(np.float32),
    )
    if draw(st.booleans()):
        z, books = np.round(z), np.round(books)
    held = rng.choice(size**depth, draw(st.integers(0, capacity - count)), replace=False)
    return codes, z, books, unpack(held, size, depth)


@settings(max_examples=150, deadline=None)
@given(crowded())
def test_the_outcome_is_that_of_serving_one_by_one(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    codes, z, books, held = case
    out, _ = reassign(ids(len(codes)), codes, z, books, held)
    assert np.array_equal(out, one_by_one(ids(len(codes)), codes, z, books, held))


@settings(max_examples=20, deadline=None)
@given(crowded(), st.sampled_from(["TURN", "TABLE", "DISTANCES"]))
def test_the_size_of_blocks_does_not_matter(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], constant: str
) -> None:
    codes, z, books, held = case
    whole, _ = reassign(ids(len(codes)), codes, z, books, held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, constant, 2)
        assert np.array_equal(reassign(ids(len(codes)), codes, z, books, held)[0], whole)


@settings(max_examples=60, deadline=None)
@given(crowded())
def test_unique_minimal_and_independent_of_row_order(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    codes, z, books, held = case
    out, report = reassign(ids(len(codes)), codes, z, books, held)
    everyone = np.concatenate((out, held))
    assert len(np.unique(everyone, axis=0)) == len(everyone)
    assert out.min() >= 0
    assert out.max() < books.shape[1]
    changed = (out != codes).any(axis=1)
    free = {tuple(code) for code in codes.tolist()} - {tuple(code) for code in held.tolist()}
    assert changed.sum() == report.moved == len(codes) - len(free)
    assert not free & {tuple(code) for code in out[changed].tolist()}
    order = np.random.default_rng(0).permutation(len(codes))
    names = tuple(ids(len(codes))[i] for i in order)
    again, same = reassign(names, codes[order], z[order], books, held)
    assert np.array_equal(again, out[order])
    assert same.error_after == pytest.approx(report.error_after)
    assert (same.moved, same.left_prefix) == (report.moved, report.left_prefix)


def test_a_prefix_is_left_only_when_it_is_full() -> None:
    rng = np.random.default_rng(0)
    codes, books = rng.integers(0, 2, size=(50, 3)), rng.normal(size=(3, 4, 3))
    out, report = reassign(ids(50), codes, rng.normal(size=(50, 3)), books)
    taken, left = {tuple(code) for code in out.tolist()}, 0
    for before, after in zip(codes.tolist(), out.tolist(), strict=True):
        if before[:-1] != after[:-1]:
            left += 1
            assert all((*before[:-1], code) in taken for code in range(4))
    assert report.left_prefix == left > 0
    assert taken <= set(itertools.product(range(4), repeat=3))


def test_a_hundred_thousand_items_of_equal_content_all_find_a_place() -> None:
    books = np.random.default_rng(0).normal(size=(3, 64, 8))
    codes, z = np.zeros((100_000, 3), int), np.zeros((100_000, 8), np.float32)
    out, report = reassign(ids(100_000), codes, z, books)
    assert len(np.unique(pack(out, 64))) == 100_000
    assert (report.colliding, report.largest, report.moved) == (100_000, 100_000, 99_999)


def test_packing_keeps_the_order_and_comes_undone() -> None:
    codes = np.random.default_rng(0).integers(0, 8192, size=(1000, 4))
    keys = pack(codes, 8192)
    assert np.array_equal(unpack(keys, 8192, 4), codes)
    assert np.array_equal(np.argsort(keys), np.lexsort(codes.T[::-1]))


def test_the_nearest_of_equally_near_codewords_is_the_lower_code() -> None:
    x = np.random.default_rng(0).normal(size=(500, 7))
    book = np.repeat(np.random.default_rng(1).normal(size=(9, 7)), 3, axis=0)
    allowed = np.random.default_rng(2).random((500, 27)) < 0.3
    allowed[:, 5] = True
    distance = np.where(allowed, ((x[:, None] - book) ** 2).sum(axis=2), np.inf)
    assert np.array_equal(nearest_open(x, book, allowed), distance.argmin(axis=1))


def test_a_tie_far_from_the_origin_is_a_tie() -> None:
    x = np.random.default_rng(0).uniform(1e6, 2e6, size=(200, 3))
    step = np.array([0.125, -0.25, 0.5])  # exact at that distance, so both codewords are equally near
    for row in x:
        book = np.stack([row + 1.0, row - step, row + step])
        assert nearest_open(row[None], book, np.ones((1, 3), bool)) == [1]


def test_nothing_to_place() -> None:
    empty = place(np.empty(0, np.int64), np.empty((0, 1)), LINE, np.arange(3))
    assert empty.shape == (0, 2)


SHARED = np.array([[1, 0], [1, 0], [0, 2], [1, 0]])
FIT = latents(10.4, 10.1, 2.0, 10.2)


def test_extend_numbers_the_items_of_an_id_by_fit() -> None:
    out, report = resolve("extend", ids(4), SHARED, FIT, LINE)
    assert out.tolist() == [[1, 0, 2], [1, 0, 0], [0, 2, 0], [1, 0, 1]]
    assert (report.policy, report.colliding, report.largest, report.largest_extra) == ("extend", 3, 3, 2)
    assert report.moved == report.shared == 0


@pytest.mark.parametrize(
    ("held", "extra"),
    [
        ([[1, 0, 0]], [2, 1]),  # and so beyond the catalogue's
        ([[1, 0, 1]], [2, 0]),  # an item was removed: its number is free again
        ([[1, 0, 2], [1, 1, 0]], [1, 0]),
        ([[0, 0, 0], [2, 2, 1]], [1, 0]),
    ],
)
def test_extend_fills_the_numbers_the_catalogue_does_not_hold(
    held: list[list[int]], extra: list[int]
) -> None:
    out, _ = resolve("extend", ids(2), SHARED[:2], FIT[:2], LINE, np.array(held))
    assert out[:, 2].tolist() == extra


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(0, 40))
def test_extend_gives_every_item_the_lowest_number_left(seed: int, count: int, before: int) -> None:
    rng = np.random.default_rng(seed)
    codes, z, books = rng.integers(0, 2, (count, 2)), rng.normal(size=(count, 3)), rng.normal(size=(2, 99, 3))
    held = unpack(rng.choice(4 * 50, before, replace=False), 50, 2)
    held = np.column_stack((held[:, 0] // 2, held[:, 0] % 2, held[:, 1]))
    out, report = resolve("extend", ids(count), codes, z, books, held)
    used = {tuple(code) for code in held.tolist()}
    error = ((z - books[0][codes[:, 0]] - books[1][codes[:, 1]]) ** 2).sum(axis=1)
    for row in sorted(range(count), key=lambda row: (error[row], ids(count)[row])):
        due = next(n for n in itertools.count() if (*codes[row].tolist(), n) not in used)
        used.add((*codes[row].tolist(), due))
        assert out[row].tolist() == [*codes[row].tolist(), due]
    assert report.largest_extra == out[:, 2].max()


def test_extend_refuses_more_items_of_an_id_than_the_extra_code_tells_apart() -> None:
    with pytest.raises(InputError, match=r"4 items share semantic ID \[1, 0\], one extra code tells 3 apart"):
        resolve("extend", ids(4), np.array([[1, 0]] * 4), latents(1, 2, 3, 4), LINE)
    with pytest.raises(InputError, match=r"4 items share semantic ID \[1, 0\]"):
        resolve("extend", ids(2), SHARED[:2], FIT[:2], LINE, np.array([[1, 0, 0], [1, 0, 1]]))


def test_share_leaves_codes_alone_and_counts() -> None:
    out, report = resolve("share", ids(4), SHARED, FIT, LINE)
    assert np.array_equal(out, SHARED)
    assert (report.shared, report.largest_share, report.largest, report.moved) == (3, 3, 3, 0)
    _, report = resolve("share", ids(4), SHARED, FIT, LINE, np.array([[1, 0], [0, 2], [2, 2], [2, 2]]))
    assert (report.shared, report.largest_share, report.colliding, report.largest) == (4, 4, 4, 3)
    _, alone = resolve("share", ids(2), np.array([[0, 0], [0, 1]]), latents(0, 1), LINE)
    assert (alone.shared, alone.largest_share, alone.largest) == (0, 1, 1)
