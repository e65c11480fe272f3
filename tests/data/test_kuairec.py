"""KuaiRec: the text rule by hand, and the real fixture where it lies."""

import shutil
from pathlib import Path

import pytest

from higr.config import DataConfig
from higr.data.kuairec import item_text, load
from higr.data.kuaishou import PROFILE
from higr.data.prepare import prepare
from higr.data.validate import validate
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
    assert data.items["enrichment"].null_count == 6_695  # 6,694 covers are UNKNOWN, one is blank
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


def small(folder: Path, feat: str = "[27, 9]", moment: str = "1593878903.438") -> DataConfig:
    profile = ",".join(PROFILE)
    for name, text in (
        ("big_matrix", f"user_id,video_id,play_duration,video_duration,timestamp\n5,0,900,1000,{moment}\n"),
        (
            "kuairec_caption_category",
            "video_id,manual_cover_text,caption,topic_tag,first_level_category_name\n"
            "0,UNKNOWN,a,[],food\n1,two  cats,b,[],UNKNOWN\n",
        ),
        ("item_categories", f'video_id,feat\n0,"[1]"\n1,"{feat}"\n'),
        ("user_features", f"user_id,{profile}\n5{',1' * len(PROFILE)}\n"),
    ):
        (folder / f"{name}.csv").write_text(text)
    return DataConfig(source="kuairec", path=str(folder))


def test_small_files(tmp_path: Path) -> None:
    raw = load(small(tmp_path), 0)
    assert raw.items["tags"].to_pylist() == [["tag-1"], ["tag-27", "tag-9"]]
    assert raw.items["text"].to_pylist() == ["a", "b"]
    assert raw.items["enrichment"].to_pylist() == [None, "two cats"]
    assert raw.events["timestamp"].to_pylist() == [1593878903438]


@pytest.mark.parametrize("feat", ["[27,", "27", "tag", '{""a"": 1}'])
def test_tags_that_are_no_list(feat: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"item_categories\.csv: feat of video_id 1 is .*no list") as caught:
        load(small(tmp_path, feat=feat), 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("", "timestamp is null"),
        ("inf", "timestamp is out of range"),
        ("1e300", "timestamp is out of range"),
        ("-1e300", "timestamp is out of range"),
    ],
)
def test_an_odd_moment_is_put_aside(moment: str, reason: str, tmp_path: Path) -> None:
    config = small(tmp_path, moment="1593878903.438\n5,1,1,1," + moment)
    checked = validate(load(config, 0), max_bad_share=0.5)
    assert checked.quarantine["reason"].to_pylist() == [reason]
