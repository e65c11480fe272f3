"""KuaiRand: the official files, written small by the test, and the real cut where it lies."""

import gzip
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from higr.config import DataConfig, load_config
from higr.data.kuairand import FLAGS, load, mark
from higr.data.kuaishou import PROFILE
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.validate import validate
from higr.errors import InputError

CUT = Path(__file__).parents[2].parent / "shared" / "data" / "kuairand_pure"
LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
)
VIDEOS = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,server_height,"
    "music_id,music_type,tag\n"
    '0,70,NORMAL,2022-04-10,LongImport,0.0,20000.0,720.0,1280.0,9,9.0,"20,43"\n'
    "1,71,AD,2022-04-11,Kmovie,0.0,,720.0,1280.0,9,9.0,\n"
)
USERS = (
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,follow_user_num,"
    "follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,friend_user_num_range,register_days,"
    "register_days_range," + ",".join(f"onehot_feat{i}" for i in range(18)) + "\n"
    '5,full_active,0,-124,1,514,500+,150,"[100,1k)",34,"[30,60)",799,730+,1,1,29,949,1.0,0,0,14,135,6,3,0,,1.0,0.0,0.0,0.0,0.0\n'
)


def official(folder: Path, zipped: bool = False) -> DataConfig:
    start = 1650000000000
    first = LOG + "".join(
        f"5,{n % 2},20220415,0,{start + n * 60000},1,{n % 2},0,0,0,0,1,5000,{20000 * (n % 3 > 0)},0,0,0,0,1\n"
        for n in range(20)
    )
    second = LOG + "".join(
        f"5,{n % 2},20220425,0,{start + (20 + n) * 60000},0,0,0,0,0,1,0,0,20000,0,0,0,0,1\n"
        for n in range(20)
    )
    for name, text in (
        ("log_standard_4_08_to_4_21_pure.csv", first),
        ("log_standard_4_22_to_5_08_pure.csv", second),
        ("video_features_basic_pure.csv", VIDEOS),
        ("user_features_pure.csv", USERS),
    ):
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return DataConfig(source="kuairand", path=str(folder), engagement={"effective_view": "long_view"})


@pytest.mark.parametrize("zipped", [False, True])
def test_official_files(tmp_path: Path, zipped: bool) -> None:
    config = official(tmp_path, zipped)
    data = prepare(config, seed=0)
    assert data.report["rows"]["events"] == {"in": 40, "kept": 40, "quarantined": 0, "reasons": {}}
    event = data.events.to_pylist()[1]
    assert {
        name: event[name] for name in ("user_id", "item_id", "watch_seconds", "duration_seconds", "clicked")
    } == {
        "user_id": "5",
        "item_id": "1",
        "watch_seconds": 5.0,
        "duration_seconds": 20.0,
        "clicked": True,
    }
    assert event["feedback"] == 3
    assert event["strength"] == pytest.approx(0.25 + 1)  # watch ratio and one like
    assert event["timestamp"].timestamp() == 1650000060
    assert data.events["duration_seconds"].to_pylist()[0] is None  # 0 means unknown
    assert set(data.events["feedback"].to_pylist()[20:]) == {0}  # hated
    assert [
        (row["category"], row["tags"], row["creator_id"], row["duration_seconds"])
        for row in data.items.to_pylist()
    ] == [
        ("tag-20", ["tag-20", "tag-43"], "70", 20.0),
        ("unknown", [], "71", None),
    ]
    uploaded = data.items["created_at"][0].as_py().astimezone(ZoneInfo("Asia/Shanghai"))
    assert (uploaded.date().isoformat(), uploaded.hour) == ("2022-04-10", 0)
    user = data.users.to_pylist()[0]
    assert (
        user["user_active_degree"],
        user["is_live_streamer"],
        user["onehot_feat4"],
        user["onehot_feat12"],
    ) == (
        "full_active",
        None,
        "1",
        None,
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "user_features_pure.csv").unlink(), "user_features_pure.csv does not exist"),
        (
            lambda f: [p.unlink() for p in f.glob("log_*")],
            "neither log_standard_*_pure.csv nor a folder splits",
        ),
        (
            lambda f: (f / "video_features_basic_pure.csv").write_text("video_id,tag\n1,2\n"),
            "no column author_id",
        ),
        (lambda f: (f / "user_features_pure.csv").write_text(USERS.split("\n")[0] + "\n"), "0 rows"),
        (
            lambda f: (f / "user_features_pure.csv").write_text(USERS.replace("\n5,", "\nfive,")),
            "user_features_pure.csv",
        ),
        (lambda f: (f / "splits").mkdir(), "val.parquet does not exist"),
    ],
)
def test_files_that_do_not_fit(spoil, said: str, tmp_path: Path) -> None:
    config = official(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError) as caught:
        load(config, 0)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_archive(tmp_path: Path) -> None:
    config = official(tmp_path, zipped=True)
    path = tmp_path / "user_features_pure.csv.gz"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="cannot be read"):
        load(config, 0)


def small_cut(folder: Path) -> DataConfig:
    start = 1650000000000
    log = {"user_id": [5, 6], "video_id": [0, 1], "time_ms": [start, start + 1]}
    log |= {key: [10000, 20000] for key in ("play_time_ms", "duration_ms")} | {"tab": [1, None]}
    flags = {key: [1, 0] for key in FLAGS}
    tables = {
        "splits/val": log | flags,
        "splits/test": log | flags | {"time_ms": [start + 5, start + 6]},
        "user_sequences": {
            "user_id": [5, 6],
            "last_time_ms": [start - 60_000, start + 60_000],
            "watch_seq": [[0, 1, 0], [1, 0]],
            "like_seq": [[0], [1]],
            "long_watch_seq": [[1, 0], []],
        },
        "item_features": {
            "video_id": [0, 1],
            "author_id": [70, 71],
            "upload_dt": ["2022-04-10"] * 2,
            "video_duration": [20_000.0, None],
            "tag": ["20,43", None],
        },
        "user_features": {"user_id": [5, 6]} | {key: [1.0, None] for key in PROFILE},
    }
    (folder / "splits").mkdir()
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return DataConfig(source="kuairand", path=str(folder), engagement={"effective_view": "long_view"})


def replace(path: Path, column: str, values: list) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, [values]), path)


def test_a_small_cut(tmp_path: Path) -> None:
    raw = load(small_cut(tmp_path), 0)
    start = 1650000000000
    assert raw.events["timestamp"].to_pylist()[:5] == [
        *(start - 60_000 - 1000 * n for n in (2, 1, 0)),
        *(start - 1000, start),  # user 6: just before the first row of the log, whatever last_time_ms says
    ]
    assert raw.users["onehot_feat0"].to_pylist() == ["1", None]


@pytest.mark.parametrize(
    ("file", "column", "values"),
    [
        ("splits/val", "is_click", ["yes", "no"]),
        ("splits/test", "time_ms", ["noon", "one"]),
        ("splits/val", "play_time_ms", [[1], [2]]),
        ("splits/test", "video_id", [0.5, 1.0]),
        ("user_sequences", "last_time_ms", ["noon", "one"]),
        ("user_sequences", "watch_seq", ["0,1", "1"]),
        ("user_sequences", "like_seq", [0, 1]),
        ("item_features", "tag", [[20], [43]]),
        ("user_features", "fans_user_num_range", [[1], [2]]),
    ],
)
def test_a_cut_with_a_column_of_another_type(file: str, column: str, values: list, tmp_path: Path) -> None:
    config = small_cut(tmp_path)
    replace(tmp_path / f"{file}.parquet", column, values)
    with pytest.raises(InputError, match=rf"{file}\.parquet: column {column} is .*; convert it$") as caught:
        load(config, 0)
    assert "\n" not in str(caught.value)


def test_a_cut_without_a_last_moment(tmp_path: Path) -> None:
    config = small_cut(tmp_path).model_copy(update={"max_bad_share": 0.5})
    replace(tmp_path / "user_sequences.parquet", "last_time_ms", [None, 1650000000000])
    replace(tmp_path / "user_sequences.parquet", "like_seq", [None, [1]])
    raw = load(config, 0)
    assert raw.events["timestamp"].to_pylist()[:3] == [None] * 3
    checked = validate(raw, config.max_bad_share)
    assert checked.quarantine["reason"].to_pylist() == ["timestamp is null"] * 3


@pytest.mark.parametrize(
    ("watched", "chosen", "due"),
    [
        ("abc", "", "..."),
        ("abc", "ac", "x.x"),
        ("aab", "a", ".x."),  # the latest exposure is the one
        ("aab", "aa", "xx."),
        ("bcd", "abd", "x.x"),  # `a` was watched before the window begins
        ("", "a", ""),
    ],
)
def test_marking_from_the_end(watched: str, chosen: str, due: str) -> None:
    assert mark([*map(ord, watched)], [*map(ord, chosen)]) == [sign == "x" for sign in due]


@pytest.fixture(scope="module")
def cut() -> PreparedData:
    if not CUT.is_dir():
        pytest.skip(f"the KuaiRand cut is not at {CUT}")
    return prepare(load_config("kuairand", {"data.path": str(CUT)}).data, seed=0)


@pytest.mark.slow
def test_the_cut_is_read_in_full(cut: PreparedData) -> None:
    counts = cut.report["rows"]["events"]
    sequences = pq.read_table(CUT / "user_sequences.parquet")
    in_sequences = pc.sum(pc.list_value_length(sequences["watch_seq"])).as_py()
    assert counts["in"] == in_sequences + 94_784 + 133_545
    assert counts["quarantined"] == 5_885  # rows of the log that are there twice
    assert cut.items.num_rows == 7_583
    assert cut.users.num_rows == 27_285
    rows = cut.report["splits"]
    assert sum(period["events"] for period in rows.values()) == counts["kept"] == cut.events.num_rows
    assert rows["test"]["events"] == pytest.approx(133_545, rel=0.03)
    assert rows["test"]["engaged_share"] == pytest.approx(0.311, abs=0.02)
    assert pc.any(pc.is_null(cut.events["watch_seconds"])).as_py()


@pytest.mark.slow
def test_the_cuts_sequences_keep_their_order(cut: PreparedData) -> None:
    sequences = pq.read_table(CUT / "user_sequences.parquet").slice(0, 200).to_pylist()
    first = {str(row["user_id"]): [str(video) for video in row["watch_seq"]] for row in sequences}
    chosen = pc.is_in(
        cut.events["user_id"], value_set=pc.cast([row["user_id"] for row in sequences], "string")
    )
    mine = cut.events.filter(pc.and_(chosen, pc.is_null(cut.events["watch_seconds"])))
    found: dict[str, list[str]] = {}
    for user, item in zip(mine["user_id"].to_pylist(), mine["item_id"].to_pylist(), strict=True):
        found.setdefault(user, []).append(item)
    assert found == first
    last = Counter()
    for row in sequences:
        if len(row["watch_seq"]) == row["history_len"]:  # nothing cut off: every long view is marked
            last[str(row["user_id"])] = len(row["long_watch_seq"])
    long = mine.filter(mine["long_view"])
    marked = Counter(long["user_id"].to_pylist())
    assert {user: marked[user] for user in last} == dict(last)
