"""Windows as flat pandas frames, one row a thing that can drift."""

import numpy as np
import pandas as pd
import pyarrow as pa

from higr.catalog import Catalog
from higr.data.schemas import Feedback
from monitoring.windows import Window

UNKNOWN = "unknown"
FEEDBACK_LABELS = np.array([level.name.lower() for level in Feedback], dtype=object)


def profile(window: Window, catalog: Catalog, items: pa.Table) -> dict[str, pd.DataFrame]:
    """Four frames; each has `user` (whose row it is) and the columns that are compared.

    - `slates`, one row a served slate: source (`higr` or `fallback`).
    - `served`, one row a served position: code_1..code_D, category, score (HiGR's own; NaN where a fallback
      scored, whose scale is another).
    - `exposed`, one row an exposure: feedback level, effective_view (`yes` or `no`).
    - `engaged`, one row an effective view: code_1..code_D, category, strength.

    Codes are the catalogue's. An item the catalogue or the items table does not know is `unknown`. Text
    columns are distributions over labels, float columns over numbers.
    """
    describe = _Describe(catalog, items)
    predictions = window.predictions
    from_higr = predictions["source"].to_numpy(zero_copy_only=False) == "higr"
    users = predictions["user_id"].to_numpy(zero_copy_only=False)
    lengths = _lengths(predictions["item_ids"])
    scores = predictions["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    served = describe(predictions["item_ids"].combine_chunks().flatten())
    served["score"] = np.where(np.repeat(from_higr, lengths), scores, np.nan).astype(np.float64)
    served.insert(0, "user", np.repeat(users, lengths))

    level = window.feedback["feedback"].to_numpy()
    effective = level >= Feedback.ENGAGED
    viewers = window.feedback["user_id"].to_numpy(zero_copy_only=False)
    engaged_rows = window.feedback.filter(pa.array(effective))
    engaged = describe(engaged_rows["item_id"])
    engaged["strength"] = engaged_rows["strength"].to_numpy().astype(np.float64)
    engaged.insert(0, "user", viewers[effective])
    return {
        "slates": pd.DataFrame({"user": users, "source": np.where(from_higr, "higr", "fallback")}),
        "served": served,
        "exposed": pd.DataFrame(
            {
                "user": viewers,
                "feedback": FEEDBACK_LABELS[level],
                "effective_view": np.where(effective, "yes", "no"),
            }
        ),
        "engaged": engaged,
    }


def _lengths(lists: pa.ChunkedArray) -> np.ndarray:
    """(rows,) int64."""
    return np.diff(lists.combine_chunks().offsets.to_numpy()).astype(np.int64)


class _Describe:
    """Item ids to the labels of their codes and category."""

    def __init__(self, catalog: Catalog, items: pa.Table) -> None:
        self.depth = catalog.depth
        self.positions = pd.Index(catalog.item_ids)
        self.codes = np.vstack([catalog.codes, np.full((1, catalog.depth), -1)])  # the last row: unknown
        self.code_labels = np.array([*map(str, range(catalog.codebook_size)), UNKNOWN], dtype=object)
        self.rows = pd.Index(items["item_id"].to_pylist())
        self.categories = np.array([*items["category"].to_pylist(), UNKNOWN], dtype=object)

    def __call__(self, item_ids: pa.Array | pa.ChunkedArray) -> pd.DataFrame:
        ids = item_ids.to_numpy(zero_copy_only=False)
        codes = self.codes[self.positions.get_indexer(ids)]  # -1, not found, is the last row
        columns = {f"code_{d + 1}": self.code_labels[codes[:, d]] for d in range(self.depth)}
        return pd.DataFrame(columns | {"category": self.categories[self.rows.get_indexer(ids)]})
