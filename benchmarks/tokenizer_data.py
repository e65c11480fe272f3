"""The public data sets that semantic IDs are judged on, as training sets and yardsticks.

    kuairec   10,728 videos: captions and topics as text; first- and second-level category as yardstick
    kuairand  7,583 videos: who watched what before the validation period; first tag as yardstick
    beauty    12,086 products of Amazon: titles, and purchases but for each user's last two; no category

and in two variants: kuairec_enriched has the words seen on covers beside the text, beauty_titles has
titles alone. The last two purchases of each user of Beauty are companions: of them no tokenizer knows.

What is the yardstick is no part of the content. An item of which nothing is known (no text, no
company) is left out: no tokenizer can place it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from higr.config import DataConfig, EmbeddingConfig, EngagementConfig, TokenizerConfig
from higr.data import kuairec
from higr.data.conform import conform
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.raw import read_csv
from higr.data.schemas import ITEMS, LABELLED_EVENTS, SLATES, USERS, Feedback
from higr.tokenizer.training_set import TrainingSet

FAR = datetime(2100, 1, 1, tzinfo=UTC)
NOTHING_ELSE = {"category_weight": 0.0, "numeric_weight": 0.0, "given_weight": 0.0, "enrichment_weight": 0.0}
NOBODY = np.empty((0, 2), dtype=object)
SECOND = {
    "video_id": pa.int64(),
    "second_level_category_name": pa.string(),
}


@dataclass(frozen=True)
class DataSet:
    """Attributes:
    embeddings: (N, width) content vectors of the items that have content.
    counts: pair counts of the training period, (N, N).
    yardsticks: by name, N labels each; may be empty.
    companions: (P, 2) rows of items that one user bought one after the other, held out; may be empty.
    left_out: items without content.
    """

    name: str
    embeddings: np.ndarray
    counts: object
    yardsticks: dict[str, np.ndarray]
    companions: np.ndarray
    left_out: int


def load(name: str, data: Path, work: Path) -> DataSet:
    """Read, embed and keep what has content."""
    match name:
        case "kuairec" | "kuairec_enriched":
            weight = 0.5 if name == "kuairec_enriched" else 0.0
            return _kuairec(name, data / "kuairec_meta", work, weight)
        case "kuairand":
            return _kuairand(data / "kuairand_pure", work)
        case "beauty" | "beauty_titles":
            weight = 1.0 if name == "beauty" else 0.0
            return _beauty(name, data / "amazon", work, weight)
    raise ValueError(f"no data set {name!r}")


def _kuairec(name: str, path: Path, work: Path, enrichment_weight: float) -> DataSet:
    raw = kuairec.load(DataConfig(source="kuairec", path=str(path)), 0)
    items = _items(raw.items)
    table = read_csv(path / "kuairec_caption_category.csv.gz", SECOND)
    second = dict(
        zip(
            map(str, table["video_id"].to_pylist()),
            pc.fill_null(table["second_level_category_name"], "UNKNOWN").to_pylist(),
            strict=True,
        )
    )
    weights = NOTHING_ELSE | {"enrichment_weight": enrichment_weight}
    embedding = EmbeddingConfig(text_dim=256, cooccurrence_weight=0.0, **weights)
    labels = {
        "category": np.array(items["category"].to_pylist()),
        "second_category": np.array([second[item] for item in items["item_id"].to_pylist()]),
    }
    text_known = np.array([bool(text) for text in items["text"].to_pylist()])
    return _data_set(name, items, LABELLED_EVENTS.empty_table(), embedding, labels, work, text_known)


def _kuairand(path: Path, work: Path) -> DataSet:
    config = DataConfig(
        source="kuairand",
        path=str(path),
        engagement=EngagementConfig(effective_view="long_view"),
        slates="chunk",
        validation_start=datetime(2022, 4, 29, 16, tzinfo=UTC),
        test_start=datetime(2022, 4, 30, 16, tzinfo=UTC),
    )
    data = prepare(config, 0)
    embedding = EmbeddingConfig(text_weight=0.0, **(NOTHING_ELSE | {"numeric_weight": 0.1}))
    labels = {"category": np.array(data.items["category"].to_pylist())}
    return _fitted("kuairand", data, embedding, labels, work, None)


def _beauty(name: str, path: Path, work: Path, cooccurrence_weight: float) -> DataSet:
    titles = pq.read_table(path / "amazon2014-beauty.items.parquet")
    events = pq.read_table(path / "amazon2014-beauty.inter.parquet")
    users = events["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    sizes = np.bincount(users)
    starts = np.append(0, np.flatnonzero(np.diff(users)) + 1)
    place = np.arange(len(users)) - np.repeat(starts, np.diff(np.append(starts, len(users))))
    train = events.filter(pa.array(place < sizes[users] - 2))
    bought = events["item_id"].cast(pa.string()).to_numpy(zero_copy_only=False)
    companions = np.stack([bought[place == sizes[users] - back] for back in (2, 1)], axis=1)
    items = _items(
        pa.table(
            {
                "item_id": titles["item_id"].cast(pa.string()),
                "category": pa.array(["product"] * titles.num_rows),
                "text": titles["title"],
            }
        )
    )
    rows = train.num_rows
    moments = pc.multiply(train["timestamp"].cast(pa.int64()), 1000)
    columns = {
        "user_id": train["user_id"].cast(pa.string()),
        "item_id": train["item_id"].cast(pa.string()),
        "timestamp": moments.cast(LABELLED_EVENTS.field("timestamp").type),
        "feedback": pa.array(np.full(rows, int(Feedback.ENGAGED), np.int8)),
        "strength": pa.array(np.ones(rows, np.float32)),
    }
    arrays = [columns.get(field.name, pa.nulls(rows, field.type)) for field in LABELLED_EVENTS]
    log = pa.table(arrays, schema=LABELLED_EVENTS)
    embedding = EmbeddingConfig(text_dim=256, cooccurrence_weight=cooccurrence_weight, **NOTHING_ELSE)
    return _data_set(name, items, log, embedding, {}, work, None, companions)


def _items(table: pa.Table) -> pa.Table:
    return conform(table, ITEMS, "items").cast(ITEMS)


def _data_set(
    name: str,
    items: pa.Table,
    events: pa.Table,
    embedding: EmbeddingConfig,
    labels: dict[str, np.ndarray],
    work: Path,
    known: np.ndarray | None,
    companions: np.ndarray = NOBODY,
) -> DataSet:
    data = PreparedData(
        events,
        items,
        USERS.empty_table(),
        SLATES.empty_table(),
        pa.table({}),
        {"validation_start": FAR.isoformat()},
    )
    return _fitted(name, data, embedding, labels, work, known, companions)


def _fitted(
    name: str,
    data: PreparedData,
    embedding: EmbeddingConfig,
    labels: dict[str, np.ndarray],
    work: Path,
    known: np.ndarray | None,
    companions: np.ndarray = NOBODY,
) -> DataSet:
    """known: (N,) bool, items to keep; None: those whose vector is not all zeros. companions: (P, 2) ids."""
    config = TokenizerConfig(kind="rq_vae", embedding=embedding)  # a kind that needs no positives mined yet
    training = TrainingSet.build(data, config, 0, work)
    content = training.embeddings.any(axis=1)
    if name == "kuairand":  # duration and age say nothing of what a video is about
        content = training.embeddings[:, training.embedder.spans["cooccurrence"]].any(axis=1)
    keep = content if known is None else content & known
    rows = np.flatnonzero(keep)
    counts = training.counts[rows][:, rows]
    row = {training.item_ids[position]: number for number, position in enumerate(rows)}
    pairs = [(row[one], row[other]) for one, other in companions if one in row and other in row]
    return DataSet(
        name,
        np.ascontiguousarray(training.embeddings[rows]),
        counts,
        {key: values[rows] for key, values in labels.items()},
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        int(len(keep) - len(rows)),
    )
