"""KuaiRec: the text rule by hand, and the real fixture where it lies."""

import shutil
from pathlib import Path

import pytest

from higr.config import DataConfig
from higr.data.kuairec import item_text, load
from higr.data.prepare import prepare
from higr.errors import InputError

META = Path(__file__).parents[2].parent / "shared" / "data" / "kuairec_meta"


@pytest.fixture
def config() -> DataConfig:
    if not META.is_dir():
        pytest.skip(f"the KuaiRec fixture is not at {META}")
    return DataConfig(source="kuairec", path=str(META))


@pytest.mark.parametrize(
    ("caption", "topics", "due"),
    [
        ("a  b", "[c,d e]", "a b c d e"),
        (None, "[]", None),
        ("UNKNOWN", None, None),
        (None, "[x]", "x"),
        (" ", "[]", None),
        ("a\nb", "[]", "a b"),
    ],
)
def test_text(caption: str | None, topics: str | None, due: str | None) -> None:
    assert item_text(caption, topics) == due


def test_the_real_fixture(config: DataConfig) -> None:
    data = prepare(config, seed=0)
    assert data.report["rows"]["events"]["kept"] == 1000
    assert data.items.num_rows == 10_728
    assert 9_373 <= 10_728 - data.items["text"].null_count <= 9_400  # captions, and topic tags without one
    assert data.users.num_rows == 7_176
    first = data.events.to_pylist()[0]
    assert (first["user_id"], first["item_id"]) == ("0", "3649")
    assert first["timestamp"].isoformat() == "2020-07-04T16:08:23.438000+00:00"  # 00:08:23 in China
    assert first["strength"] == pytest.approx(1.2733965, rel=1e-5)  # the file's own watch_ratio
    item = {row["item_id"]: row for row in data.items.slice(0, 3).to_pylist()}["1"]
    assert (item["category"], item["tags"], item["text"]) == ("高新数码", ["tag-27", "tag-9"], None)
    names = set(data.items["category"].to_pylist())
    assert "美食" in names
    assert len(names) > 30


def test_a_file_is_missing(config: DataConfig, tmp_path: Path) -> None:
    for path in META.glob("*.gz"):
        if not path.name.startswith("item_categories"):
            shutil.copy(path, tmp_path)
    with pytest.raises(InputError, match=r"item_categories\.csv does not exist"):
        load(config.model_copy(update={"path": str(tmp_path)}), 0)
