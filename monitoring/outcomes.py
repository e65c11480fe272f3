"""What became of the sampled slates: does HiGR's score still say what users like?"""

import numpy as np
import pandas as pd
import pyarrow as pa

from monitoring.sample import joined
from monitoring.tally import Places, Tally


def tally_outcomes(table: pa.Table, edges: np.ndarray) -> pa.Table:
    """`TALLY` rows of the columns margin, concordance and calibration of one day.

    margin: mean score of what was effectively viewed less that of the rest of its slate, slates with both.
    concordance: pairs of these in which the viewed one has the higher score. Both are the alignment's
    pairs, made of fresh feedback. calibration: effective views by bin of the score.

    table: `SAMPLE`. edges: (B - 1,) ascending, between the bins.
    """
    rows, tally = joined(table), Tally()
    if not len(rows):
        return tally.table()
    places = Places(rows["hour"].to_numpy().astype(np.int64), rows["block"].to_numpy().astype(np.int64))
    bins = np.searchsorted(edges, rows["score"].to_numpy())
    labels = [f"bin {b + 1}" for b in range(len(edges) + 1)]
    tally.add("calibration", places, bins, labels, rows["effective"].to_numpy().astype(float))
    pairs = _pairs(rows)
    if len(pairs):
        at = Places(pairs["hour"].to_numpy().astype(np.int64), pairs["block"].to_numpy().astype(np.int64))
        tally.add("margin", at, values=pairs["margin"].to_numpy())
        tally.add("concordance", at, values=pairs["concordant"].to_numpy())
    return tally.table()


def _pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a slate with both kinds of items: hour, block, margin, concordant share of its pairs."""
    liked = rows[rows["effective"]]
    other = rows.loc[~rows["effective"], ["request", "score"]]
    both = liked[["request", "hour", "block", "score"]].merge(other, on="request", suffixes=("", "_other"))
    both["margin"] = both["score"] - both["score_other"]
    both["concordant"] = (both["margin"] > 0) + 0.5 * (both["margin"] == 0)
    return both.groupby("request", as_index=False).agg(
        {"hour": "first", "block": "first", "margin": "mean", "concordant": "mean"}
    )
