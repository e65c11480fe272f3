"""The clocked slate of the benchmark is the slate that is served. Run: pytest tests/benchmarks"""

import numpy as np
import pytest
import torch

from benchmarks import prefix_tree as benchmark
from benchmarks.prefix_tree import EXCLUDED, SLATE, Case
from higr.catalog import Catalog
from higr.decode.slate import decode_slates
from higr.eligibility import Exclusions
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary


@pytest.mark.parametrize("case", [Case(400, 8, 3), Case(4000, 600, 2), Case(4000, 20, 4)])
def test_the_clocked_slate_is_the_decoded_one(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        benchmark, "MODEL", benchmark.MODEL.model_copy(update={"width": 32, "feedforward": 32})
    )
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    catalog = Catalog((), benchmark.random_codes(case, 0), case.codebook_size)
    model = HiGR(benchmark.MODEL, case.depth, case.codebook_size, ProfileVocabulary({}), "").eval()
    batch = benchmark.random_history(rng, case)
    excluded = [rng.choice(case.items, EXCLUDED, replace=False).tolist()]
    seconds, mask, chosen = benchmark.timed_slate(
        catalog.tree, excluded, benchmark.model_steps(model, catalog, batch)
    )
    decoded = decode_slates(model, catalog, batch, [SLATE], Exclusions(catalog.tree, excluded, SLATE), 10)
    assert chosen.tolist() == decoded.items[0].tolist()
    assert not set(chosen.tolist()) & set(excluded[0])
    assert 0 < mask < seconds


@pytest.mark.parametrize("case", [Case(500, 8, 3), Case(500, 256, 3)])
def test_random_codes_are_distinct_and_in_order(case: Case) -> None:
    codes = [tuple(code) for code in benchmark.random_codes(case, 0).tolist()]
    assert codes == sorted(set(codes))
    assert len(codes) == 500
    assert max(map(max, codes)) < case.codebook_size
