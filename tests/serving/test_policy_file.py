"""What is written in a policy file, and every way to write it wrong."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from higr.errors import InputError
from serving import policy_file
from serving.policy_file import AtMost, Block, Fresh, Sponsored, read_policy

ALL = """
expires: 2027-01-31T00:00:00Z
rules:
  - {name: recalled, kind: block, items: [v0000017]}
  - {name: adults-only, kind: block, categories: [Wine], unless: {age: [18-24, 25-34]}}
  - {name: fresh-news, kind: fresh, max_age_days: 30, when: {surface: [news]}}
  - {name: variety, kind: at_most, items: 2, per: category}
  - {name: autumn, kind: sponsored, position: 3, items: [v0000042], disclosure: Sponsored}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


def test_every_kind_of_rule_is_read(tmp_path: Path) -> None:
    file = read_policy(written(tmp_path, ALL))
    assert [type(rule) for rule in file.rules] == [Block, Block, Fresh, AtMost, Sponsored]
    assert not file.expired(datetime(2027, 1, 30, 23, 59, tzinfo=UTC))
    assert file.expired(datetime(2027, 1, 31, tzinfo=UTC))


def test_an_empty_file_has_no_rule(tmp_path: Path) -> None:
    file = read_policy(written(tmp_path, "# nothing yet\n"))
    assert file.rules == ()
    assert not file.expired(datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("facts", "holds"),
    [
        ({}, True),
        ({"age": "12-17"}, True),
        ({"age": "18-24"}, False),
        ({"surface": "news"}, True),
    ],
)
def test_a_rule_with_unless_holds_for_whom_nothing_is_known(
    tmp_path: Path, facts: dict[str, str], holds: bool
) -> None:
    adults_only = read_policy(written(tmp_path, ALL)).rules[1]
    assert adults_only.holds(facts) is holds


def test_all_conditions_must_be_met(tmp_path: Path) -> None:
    text = "rules: [{name: r, kind: fresh, max_age_days: 1, when: {surface: [a, b], region: [DE]}}]"
    (rule,) = read_policy(written(tmp_path, text)).rules
    assert rule.holds({"surface": "b", "region": "DE", "age": "1"})
    assert not rule.holds({"surface": "b"})
    assert not rule.holds({"surface": "c", "region": "DE"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules: [", "not YAML in line 1"),
        ("- a", "the file: "),
        ("rule: []", "rule: Extra inputs are not permitted"),
        ("expires: 2027-01-31", "expires: "),
        ("rules: [{kind: block, items: [a]}]", "rules.0.block.name: Field required"),
        ("rules: [{name: A b, kind: block, items: [a]}]", "rules.0.block.name: "),
        ("rules: [{name: a, kind: ban, items: [a]}]", "rules.0: Input tag 'ban'"),
        ("rules: [{name: a, kind: block}]", "rules.0.block: blocks nothing"),
        ("rules: [{name: a, kind: block, item: [a]}]", "rules.0.block.item: Extra inputs"),
        ("rules: [{name: a, kind: fresh, max_age_days: 0}]", "rules.0.fresh.max_age_days: "),
        ("rules: [{name: a, kind: at_most, items: 0, per: creator}]", "rules.0.at_most.items: "),
        ("rules: [{name: a, kind: at_most, items: 1, per: tag}]", "rules.0.at_most.per: "),
        (
            "rules: [{name: a, kind: sponsored, position: 0, items: [a], disclosure: Ad}]",
            "rules.0.sponsored.position: ",
        ),
        ("rules: [{name: a, kind: sponsored, position: 1, items: [a]}]", "sponsored.disclosure: "),
        (
            "rules: [{name: a, kind: block, items: [a]}, {name: a, kind: block, items: [b]}]",
            "the file: rules: a is there twice",
        ),
        ("rules: [{name: a, kind: fresh, max_age_days: 1, when: {age: []}}]", "rules.0.fresh.when.age: "),
    ],
)
def test_what_cannot_be_taken_names_the_field(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError) as error:
        read_policy(written(tmp_path, text))
    assert problem in str(error.value)
    assert str(error.value).startswith(f"policy {tmp_path}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_or_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_policy(tmp_path / "none")
    monkeypatch.setattr(policy_file, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_policy(written(tmp_path, ALL))


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not YAML"):
        read_policy(written(tmp_path, "rules: !!python/object/apply:os.getcwd []"))
