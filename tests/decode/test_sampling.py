"""Run: pytest tests/decode/test_sampling.py"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.decode.sampling import Draws, Sampling
from higr.errors import InputError

SCORES = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()


def draws(sampling: Sampling, positions: int = 1) -> Draws:
    made = Draws.of([sampling], positions)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("sampling", "odds"),
    [
        (Sampling(), [0.5, 0.3, 0.15, 0.05]),
        (Sampling(temperature=0.5), [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (Sampling(top_p=0.5), [1.0, 0.0, 0.0, 0.0]),
        (Sampling(top_p=0.51), [0.625, 0.375, 0.0, 0.0]),
        (Sampling(top_p=0.9), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0]),
    ],
)
def test_odds_by_hand(sampling: Sampling, odds: list[float]) -> None:
    torch.testing.assert_close(draws(sampling).odds(SCORES), torch.tensor([odds]))


def test_what_is_no_beam_is_never_drawn() -> None:
    scores = torch.tensor([[-1.0, -2.0, -torch.inf], [-torch.inf] * 3])
    made = Draws.of([Sampling(seed=1), Sampling(seed=2)], 200)
    assert made is not None
    assert made.odds(scores)[0, 2] == 0
    assert torch.equal(made.odds(scores)[1], torch.zeros(3))
    picked = torch.stack([made.pick(position, scores)[0] for position in range(200)])
    assert set(picked[:, 0].tolist()) == {0, 1}
    assert set(picked[:, 1].tolist()) == {0}


@settings(max_examples=12, deadline=None)
@given(
    share=st.floats(0, 1),
    temperature=st.floats(0.2, 5),
    top_p=st.floats(0.05, 1),
    seed=st.integers(0, 1000),
)
def test_propensities_are_the_frequencies(share: float, temperature: float, top_p: float, seed: int) -> None:
    torch.manual_seed(seed)
    scores = torch.randn(1, 5).log_softmax(dim=1).sort(descending=True).values
    made = draws(Sampling(share, temperature, top_p, seed=seed), 1500)
    index, propensity = _all(made, scores, 1500)
    known = {int(i): float(p) for i, p in zip(index, propensity, strict=True)}
    seen = torch.bincount(index, minlength=5) / 1500
    for item in range(5):
        assert abs(float(seen[item]) - known.get(item, 0.0)) < 0.06
    q = made.odds(scores)[0]
    expected = share * q + (1 - share) * (torch.arange(5) == 0)
    for item, value in known.items():
        assert value == pytest.approx(float(expected[item]), abs=1e-6)


def _all(made: Draws, scores: torch.Tensor, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    picked = [made.pick(position, scores) for position in range(positions)]
    return torch.cat([index for index, _ in picked]), torch.cat([value for _, value in picked])


def test_a_row_draws_by_its_own_seed_whatever_stands_beside_it() -> None:
    scores = torch.randn(3, 6).log_softmax(dim=1).sort(descending=True).values
    samplings = [Sampling(seed=7), None, Sampling(seed=9, top_p=0.8)]
    together = Draws.of(samplings, 5)
    assert together is not None
    for row, sampling in enumerate(samplings):
        alone = draws(sampling or Sampling(share=0.0), 5)
        for position in range(5):
            ours, theirs = together.pick(position, scores), alone.pick(position, scores[row : row + 1])
            assert ours[0][row] == theirs[0][0]
            assert ours[1][row] == theirs[1][0]


def test_without_sampling_nothing_is_drawn() -> None:
    assert Draws.of([None, None], 3) is None
    index, propensity = draws(Sampling(share=0.0)).pick(0, SCORES)
    assert (int(index), float(propensity)) == (0, 1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, "share 1.5; 0 to 1"),
        ({"temperature": 0.0}, "temperature 0.0; 0.001 to"),
        ({"temperature": 1e-40}, "temperature 1e-40"),
        ({"seed": 2**64}, "seed 18446744073709551616; an integer"),
        ({"seed": 1.5}, "seed 1.5"),
        ({"diversity": 1e39}, "diversity 1e"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"diversity": -1.0}, "diversity -1.0; 0 to"),
        ({"temperature": float("nan")}, "temperature nan"),
    ],
)
def test_bad_sampling(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampling(**values)
