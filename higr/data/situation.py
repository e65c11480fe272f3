"""What is known of a request beside the user: when it came, and where its slate is shown."""

from datetime import UTC, datetime

import pyarrow as pa

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def situation_of(moment: datetime, surface: str | None = None) -> dict[str, str]:
    """hour ("00" to "23") and weekday, both UTC, and the surface where one is named.

    Args:
        moment: with its zone.
        surface: page, tab or device on which the slate is shown, by any name.
    """
    at = moment.astimezone(UTC)
    situation = {"hour": f"{at.hour:02d}", "weekday": WEEKDAYS[at.weekday()]}
    return situation if surface is None else {**situation, "surface": surface}


def situations_of(moments: pa.Table) -> list[dict[str, str]]:
    """One a row, as of its history_cutoff. moments: `SLATES`, or a table of moments without surfaces."""
    count = moments.num_rows
    surfaces = moments["surface"].to_pylist() if "surface" in moments.column_names else [None] * count
    cutoffs = moments["history_cutoff"].to_pylist()
    return [situation_of(moment, surface) for moment, surface in zip(cutoffs, surfaces, strict=True)]
