"""Company of items: pairs of histories and slates by hand, their weights, the block made of them."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from higr.data.schemas import SLATES, Feedback
from higr.tokenizer.content import normalise
from higr.tokenizer.cooccurrence import EXPOSED_TOGETHER, CooccurrenceBlock, cosine_pairs, count_pairs, ppmi

Items = Callable[..., pa.Table]
Events = Callable[[list[tuple[str, str, int]]], pa.Table]
EXPOSED, ENGAGED, STRONG = int(Feedback.EXPOSED), int(Feedback.ENGAGED), int(Feedback.STRONG)


def slates_table(*slates: list[tuple[str, int]]) -> pa.Table:
    """`SLATES` from the items of each and how they were received; of one user."""
    columns = {
        "item_ids": [[item for item, _ in slate] for slate in slates],
        "feedback": [[feedback for _, feedback in slate] for slate in slates],
    }
    fields = {"slate_id": [str(i) for i in range(len(slates))]}
    arrays = []
    for field in SLATES:
        values = (columns | fields).get(field.name)
        if values is None:
            blank = [] if pa.types.is_list(field.type) else 0 if pa.types.is_timestamp(field.type) else "u"
            values = [blank] * len(slates)
        arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=SLATES)


class TestCounts:
    def test_pairs_by_hand(self, events_table: Events) -> None:
        events = events_table(
            [
                ("u", "a", ENGAGED),
                ("u", "b", EXPOSED),  # not engaged: neither counted nor in between
                ("u", "c", ENGAGED),
                ("u", "a", ENGAGED),  # a beside itself (two apart) is no pair
                ("v", "d", ENGAGED),  # another user
                ("v", "x", ENGAGED),  # not in the catalogue
                ("v", "c", ENGAGED),
            ]
        )
        counts = count_pairs(events, ["a", "b", "c", "d"], window=2).toarray()
        expected = np.zeros((4, 4))
        expected[0, 2] = expected[2, 0] = 2
        expected[2, 3] = expected[3, 2] = 1
        assert np.array_equal(counts, expected)

    def test_window_reaches_no_further(self, events_table: Events) -> None:
        events = events_table([("u", item, ENGAGED) for item in "abcd"])
        assert count_pairs(events, list("abcd"), 1).nnz == 6
        assert count_pairs(events, list("abcd"), 2).nnz == 10

    def test_no_events(self, events_table: Events) -> None:
        assert count_pairs(events_table([]), ["a", "b"], 3).nnz == 0

    @pytest.mark.parametrize(
        ("slate", "window", "expected"),
        [
            # Both engaged, within the window: the history holds the pair, the slate adds nothing.
            ([("a", ENGAGED), ("b", STRONG)], 1, {}),
            # Two engagements apart, window one: the slate adds it; a-b and b-c are the history's.
            ([("a", ENGAGED), ("b", ENGAGED), ("c", ENGAGED)], 1, {(0, 2): 1.0}),
            # What lies between without engagement does not count as apart.
            ([("a", ENGAGED), ("b", EXPOSED), ("c", ENGAGED)], 1, {(0, 1): 0.5, (1, 2): 0.5}),
            ([("a", EXPOSED), ("x", ENGAGED), ("c", EXPOSED)], 5, {(0, 2): 0.5}),  # x is not listed
            ([("x", ENGAGED)], 5, {}),
        ],
    )
    def test_what_a_slate_adds(
        self,
        events_table: Events,
        slate: list[tuple[str, int]],
        window: int,
        expected: dict[tuple[int, int], float],
    ) -> None:
        due = np.zeros((4, 4))
        for (left, right), weight in expected.items():
            due[left, right] = due[right, left] = weight
        events = events_table([])
        assert np.array_equal(count_pairs(events, list("abcd"), window, slates_table(slate)).toarray(), due)
        twice = count_pairs(events, list("abcd"), window, slates_table(slate, slate)).toarray()
        assert np.array_equal(twice, 2 * due)  # and nothing across slates

    def test_histories_and_slates_add_up(self, events_table: Events) -> None:
        slate = [("a", ENGAGED), ("b", ENGAGED), ("c", EXPOSED)]
        events = events_table([("u", item, feedback) for item, feedback in slate])
        both = count_pairs(events, list("abc"), 5, slates_table(slate))
        assert both.toarray().tolist() == [[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0]]
        assert EXPOSED_TOGETHER == 0.5


class TestBlock:
    def test_ppmi_and_cosine_by_definition(self) -> None:
        dense = np.array([[0, 4, 1], [4, 0, 0], [1, 0, 0]], dtype=float)
        total = dense.sum(axis=1)
        smooth = total**0.75 / (total**0.75).sum()
        with np.errstate(divide="ignore"):
            value = np.log((dense / dense.sum()) / (total[:, None] / dense.sum() * smooth[None]))
        assert np.allclose(ppmi(csr_matrix(dense)).toarray(), np.maximum(value, 0))
        assert np.allclose(cosine_pairs(csr_matrix(dense)).toarray(), dense / np.sqrt(np.outer(total, total)))

    def test_company_makes_likeness_and_the_unseen_are_zero(self, items_table: Items) -> None:
        dense = np.zeros((7, 7))
        for group in ([0, 1, 2], [3, 4, 5]):
            for left in group:
                for right in group:
                    dense[left, right] = 5.0 * (left != right)
        block = CooccurrenceBlock.fit(csr_matrix(dense), list("abcdefg"), 3, seed=0)
        rows = normalise(block.transform(items_table(item_id=["a", "b", "d", "g", "new"])))
        assert rows[0] @ rows[1] > 0.5 > abs(rows[0] @ rows[2])
        assert not rows[3:].any()

    def test_nothing_seen(self, items_table: Items) -> None:
        block = CooccurrenceBlock.fit(csr_matrix((3, 3)), list("abc"), 8, seed=0)
        assert block.transform(items_table(item_id=["a"])).shape == (1, 0)

    def test_directions_come_from_the_items_of_most_company(self, items_table: Items) -> None:
        """Six of eight: the PPMI of all with these six, times the right singular vectors of the six."""
        rng = np.random.default_rng(0)
        dense = np.triu(rng.integers(0, 9, (8, 8)), 1).astype(float)
        dense[:, [2, 5]] = np.minimum(dense[:, [2, 5]], 1)  # little company
        dense[[2, 5]] = np.minimum(dense[[2, 5]], 1)
        dense += dense.T
        core = [0, 1, 3, 4, 6, 7]
        assert set(np.argsort(dense.sum(axis=1))[:2].tolist()) == {2, 5}
        matrix = ppmi(csr_matrix(dense)).toarray()
        _, values, right = np.linalg.svd(matrix[np.ix_(core, core)])
        due = matrix[:, core] @ right[:3].T / np.sqrt(values[:3])
        block = CooccurrenceBlock.fit(csr_matrix(dense), list("abcdefgh"), 3, seed=0, sample=6)
        rows = block.transform(items_table(item_id=list("abcdefgh")))
        assert np.allclose(rows @ rows.T, due @ due.T, atol=1e-4)  # signs are free
        whole = CooccurrenceBlock.fit(csr_matrix(dense), list("abcdefgh"), 3, seed=0).vectors
        assert not np.allclose(rows @ rows.T, whole @ whole.T, atol=1e-2)
