"""Journals that dead processes left, and lines that are none."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.row_journal import RowJournal, recover, tabulate

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("codes", pa.list_(pa.int32())),
    ]
)


def line(name: str) -> bytes:
    return b'{"id":"%s","at":1767270600250,"codes":[1,2]}\n' % name.encode()


def recovered(folder: Path) -> tuple[list[list[str]], int]:
    lost: list[int] = []
    recover(folder, SCHEMA, lost.append)
    parts = [pq.read_table(path)["id"].to_pylist() for path in sorted(folder.glob("*.parquet"))]
    return parts, sum(lost)


def test_lines_become_typed_rows_and_what_is_no_row_is_counted() -> None:
    table, bad = tabulate([line("a"), b'{"id":"b"}\n', b"{\n", b'{"id":5,"at":1}\n', line("c")], SCHEMA)
    assert (table.schema.equals(SCHEMA), bad) == (True, 3)
    assert table.to_pylist()[1]["id"] == "c"
    assert table["at"][0].as_py().isoformat() == "2026-01-01T12:30:00.250000+00:00"
    assert tabulate([], SCHEMA)[0].equals(SCHEMA.empty_table())


def test_a_journal_is_its_process_own_until_it_lets_go(tmp_path: Path) -> None:
    journal = RowJournal(tmp_path / "part-1.parquet")
    assert list(tmp_path.iterdir()) == []
    journal.write(line("a"))
    journal.write(line("b") + line("c"))
    assert recovered(tmp_path) == ([], 0)
    journal.leave()
    assert recovered(tmp_path) == ([["a", "b", "c"]], 0)
    assert [path.name for path in tmp_path.iterdir()] == ["part-1.parquet"]


def test_a_journal_whose_part_is_there_is_not_made_again(tmp_path: Path) -> None:
    journal = RowJournal(tmp_path / "part-1.parquet")
    journal.write(line("a"))
    journal.leave()
    pq.write_table(tabulate([line("a"), line("b")], SCHEMA)[0], tmp_path / "part-1.parquet")
    assert recovered(tmp_path) == ([["a", "b"]], 0)
    assert [path.name for path in tmp_path.iterdir()] == ["part-1.parquet"]


def test_a_line_that_was_cut_is_lost_alone(tmp_path: Path) -> None:
    (tmp_path / ".part-1.rows").write_bytes(line("a") + line("b")[:-5])
    (tmp_path / ".part-2.rows").write_bytes(line("c")[:-5])
    (tmp_path / ".part-3.rows").write_bytes(b"")
    assert recovered(tmp_path) == ([["a"]], 2)
    assert [path.name for path in tmp_path.iterdir()] == ["part-1.parquet"]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = RowJournal(tmp_path / "part-1.parquet")
    journal.write(line("a"))
    write = os.write
    with monkeypatch.context() as patched:
        room = [10]

        def full(file: int, data: bytes) -> int:
            if room[0] == 0:
                raise OSError(28, "No space left on device")
            done = write(file, data[: room[0]])
            room[0] = 0
            return done

        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            journal.write(line("b"))
    journal.write(line("c"))
    journal.leave()
    assert recovered(tmp_path) == ([["a", "c"]], 0)


def test_what_cannot_be_made_stays_for_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".part-1.rows").write_bytes(line("a"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("serving.row_journal.write_table", full)
        with pytest.raises(OSError, match="No space"):
            recovered(tmp_path)
    assert recovered(tmp_path) == ([["a"]], 0)
