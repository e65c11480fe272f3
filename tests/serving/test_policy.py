"""Rules against the items of a bundle."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from higr.data.schemas import ITEMS
from higr.errors import InputError
from serving.live_policy import LivePolicy, LivePolicyFile
from serving.policy import Policy
from serving.policy_file import PolicyFile

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POPULAR = ["d", "c", "b", "a"]  # e is disabled


def items() -> pa.Table:
    days = [1, 10, 40, None, 1]
    columns = {
        **{field.name: pa.nulls(5, field.type) for field in ITEMS},
        "item_id": list("abcde"),
        "category": ["Wine", "News", "News", "Cooking", "Wine"],
        "creator_id": ["x", "y", "x", None, "z"],
        "created_at": [None if day is None else NOW - timedelta(days=day) for day in days],
    }
    return pa.table(columns, schema=ITEMS)


def policy(*rules: dict[str, Any], **file: Any) -> Policy:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return Policy(PolicyFile.model_validate({"rules": named, **file}), items(), POPULAR)


@pytest.mark.parametrize(
    ("rule", "blocked"),
    [
        ({"kind": "block", "items": ["a", "unknown"]}, "a"),
        ({"kind": "block", "categories": ["News"]}, "bc"),
        ({"kind": "block", "creators": ["x"], "items": ["d"]}, "acd"),
        ({"kind": "fresh", "max_age_days": 20}, "cd"),
        ({"kind": "fresh", "max_age_days": 1000}, "d"),
        ({"kind": "at_most", "items": 1, "per": "category"}, ""),
    ],
)
def test_what_a_rule_blocks(rule: dict[str, Any], blocked: str) -> None:
    decision = policy(rule).decide({}, NOW)
    assert decision.blocked == set(blocked)
    assert decision.popular == tuple(item for item in POPULAR if item not in blocked)
    assert decision.rules == (("r0",) if blocked else ())


def test_rules_that_do_not_hold_do_nothing() -> None:
    made = policy(
        {"kind": "block", "items": ["a"], "when": {"region": ["DE"]}},
        {"kind": "at_most", "items": 3, "per": "category"},
        {"kind": "at_most", "items": 1, "per": "category", "when": {"surface": ["home"]}},
        {"kind": "at_most", "items": 2, "per": "creator", "unless": {"surface": ["home"]}},
    )
    abroad = made.decide({"region": "FR"}, NOW)
    assert (abroad.blocked, abroad.per_category, abroad.per_creator) == (frozenset(), 3, 2)
    home = made.decide({"region": "DE", "surface": "home"}, NOW)
    assert (home.blocked, home.per_category, home.per_creator) == ({"a"}, 1, None)
    assert made.decide({"region": "DE", "surface": "home", "hour": "12"}, NOW) is home


def test_an_expired_policy_sells_nothing_and_protects_still() -> None:
    sold = {"kind": "sponsored", "position": 1, "items": ["a"], "disclosure": "Ad"}
    made = policy(sold, {"kind": "block", "items": ["b"]}, expires="2026-03-01T13:00:00Z")
    assert set(made.decide({}, NOW).slots) == {1}
    after = made.decide({}, NOW + timedelta(hours=1))
    assert (dict(after.slots), after.blocked) == ({}, {"b"})


def test_what_is_fresh_today_is_not_tomorrow() -> None:
    made = policy({"kind": "fresh", "max_age_days": 10.2})
    assert made.decide({}, NOW).blocked == {"c", "d"}
    assert made.decide({}, NOW + timedelta(days=1)).blocked == {"b", "c", "d"}


def test_of_two_that_sell_one_position_the_first_has_it() -> None:
    rule = {"kind": "sponsored", "position": 1, "disclosure": "Ad"}
    decision = policy({**rule, "items": ["a"]}, {**rule, "items": ["b"]}).decide({}, NOW)
    assert decision.slots[1].items == ("a",)


def test_each_rule_says_what_it_removed() -> None:
    made = policy(
        {"kind": "block", "categories": ["News", "Wine"]},
        {"kind": "block", "items": ["c"], "when": {"region": ["DE"]}},
        {"kind": "block", "items": ["c"]},
    )
    assert made.explain(made.decide({}, NOW)) == [("r0", 4, ["c", "b", "a"]), ("r2", 1, ["c"])]


def test_rules_by_name_are_those_of_the_other_end() -> None:
    made = policy({"kind": "block", "items": ["a"], "when": {"region": ["DE"]}})
    found = made.of_rules(["r0"], NOW)
    assert found is not None
    assert found.blocked == {"a"}
    assert made.of_rules(["r0", "r9"], NOW) is None


def test_combinations_of_rules_do_not_pile_up() -> None:
    made = policy(*({"kind": "block", "items": ["a"], "when": {f"f{n}": ["1"]}} for n in range(8)))
    for combination in range(2**8):
        facts = {f"f{n}": "1" for n in range(8) if combination >> n & 1}
        assert made.decide(facts, NOW).blocked == ({"a"} if facts else set())
        assert len(made._decided) <= 64


def test_a_file_that_changes_is_read_again_and_a_bad_one_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("rules: [{name: one, kind: block, items: [a]}]")
    errors: list[int] = []
    live = LivePolicy(LivePolicyFile(path, lambda: errors.append(1)), items(), POPULAR)
    before = live.policy
    assert before.decide({}, NOW).blocked == {"a"}
    assert live.policy is before
    path.write_text("rules: [{name: two, kind: block, items: [b, c]}]")
    assert live.policy.decide({}, NOW).blocked == {"b", "c"}
    for bad in ("rules: [{name: x}]", None):
        path.unlink() if bad is None else path.write_text(bad)
        assert live.policy.decide({}, NOW).blocked == {"b", "c"}
        assert live.policy.decide({}, NOW).blocked == {"b", "c"}
    assert errors == [1, 1]


def test_a_process_does_not_start_with_a_policy_that_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        LivePolicyFile(tmp_path / "none")
