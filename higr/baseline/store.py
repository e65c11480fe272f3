"""The incumbent on disk: Parquet for items, safetensors for neighbours, JSON for the rest."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from higr.baseline.items import ItemArrays
from higr.baseline.popularity import popularity_order
from higr.baseline.ranker import Ranker
from higr.baseline.retrieval import Neighbours
from higr.baseline.stages import Stages
from higr.config import BaselineConfig
from higr.errors import InputError
from higr.files import atomic_directory, read_json, read_table, write_json, write_table

STATIC = ("popularity", "engagement_rate", "strength", "duration_log", "created_day")
ARRAYS = ("start", "item", "similarity")


def save(path: Path, stages: Stages, ranker: Ranker, config: BaselineConfig) -> None:
    """Write aside, then take the place of `path`."""
    items = stages.items
    columns = {
        "item_id": pa.array(items.item_ids, pa.string()),
        "active": pa.array(items.active),
        "category": pa.array(items.category),
        "creator": pa.array(items.creator),
        "duration_seconds": pa.array(items.duration),
        "created": pa.array(items.created),
        "engaged": pa.array(stages.engaged),
    }
    for index, name in enumerate(STATIC):
        columns[f"feature_{name}"] = pa.array(stages.item_features[:, index])
    neighbours = stages.neighbours
    with atomic_directory(path) as aside:
        write_table(aside / "items.parquet", pa.table(columns))
        arrays = {name: np.ascontiguousarray(getattr(neighbours, name)) for name in ARRAYS}
        save_file(arrays, aside / "neighbours.safetensors")
        ranker.save(aside / "ranker.json")
        document = {"config": config.model_dump(mode="json"), "overall_rate": stages.overall_rate}
        write_json(aside / "baseline.json", document)


def load(path: Path) -> tuple[Stages, Ranker, BaselineConfig]:
    """Read what `save` wrote.

    Raises:
        InputError: a file is missing, unreadable, or does not belong to the others.
    """
    table = read_table(path / "items.parquet")
    document = read_json(path / "baseline.json")
    try:
        config = BaselineConfig.model_validate(document["config"])
        rate = float(document["overall_rate"])
        column = {name: table[name].to_numpy() for name in table.column_names if name != "item_id"}
        items = ItemArrays(
            item_ids=tuple(table["item_id"].to_pylist()),
            active=column["active"],
            category=column["category"],
            creator=column["creator"],
            duration=column["duration_seconds"],
            created=column["created"],
        )
        features = np.column_stack([column[f"feature_{name}"] for name in STATIC])
        engaged = column["engaged"]
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a saved baseline ({reason}); fit the baseline again") from None
    neighbours = _neighbours(path / "neighbours.safetensors", len(items))
    order = popularity_order(items, engaged)
    stages = Stages(items, neighbours, order, engaged, features, rate)
    return stages, Ranker.load(path / "ranker.json"), config


def _neighbours(path: Path, size: int) -> Neighbours:
    try:
        arrays = load_file(path)
        neighbours = Neighbours(*(arrays[name] for name in ARRAYS))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; fit the baseline again") from None
    except (KeyError, SafetensorError) as error:
        raise InputError(f"{path} holds no neighbours ({error}); fit the baseline again") from None
    if neighbours.size != size:
        raise InputError(f"{path} has {neighbours.size} items, items.parquet {size}; fit the baseline again")
    return neighbours
