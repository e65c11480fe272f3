"""The last hours of feedback, laid out so that a bundle's model can be aligned on them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from higr.bundle import Bundle
from higr.data.conform import conform
from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS, TIMESTAMP
from higr.errors import InputError


@dataclass(frozen=True)
class Window:
    """Attributes:
    data: slates of the window alone, its newest ones `validation`, the others `train`; events of all time,
        which contexts are read from; items of the bundle.
    since: first moment.
    until: the newest slate.
    unknown: exposures of the window whose item is not in the bundle's catalogue.
    """

    data: PreparedData
    since: datetime
    until: datetime
    unknown: int

    @classmethod
    def of(cls, data: PreparedData, bundle: Bundle, since: datetime, validation_fraction: float) -> "Window":
        """The slates since a moment; those of one moment are not parted.

        Raises:
            InputError: no slate, too few to hold any out, or none with an item of the catalogue.
        """
        start = pa.scalar(since, TIMESTAMP)
        slates = data.slates.filter(pc.greater_equal(data.slates["timestamp"], start))
        slates = slates.sort_by([("timestamp", "ascending"), ("slate_id", "ascending")])
        count = slates.num_rows
        if not count:
            newest = pc.max(data.slates["timestamp"]).as_py()
            raise InputError(
                f"no slate since {since.isoformat()}; the newest of {data.slates.num_rows} is of "
                f"{newest and newest.isoformat()}: prepare later data or give an earlier --since"
            )
        boundary = slates["timestamp"][min(count - 1, count - round(count * validation_fraction))]
        held_out = pc.greater_equal(slates["timestamp"], boundary)
        if pc.all(held_out).as_py():
            raise InputError(
                f"{count} slates since {since.isoformat()} are of one moment: nothing to learn from is left "
                "when the newest are held out; give an earlier --since"
            )
        exposed = pc.list_flatten(slates["item_ids"])
        unknown = pc.sum(
            pc.invert(pc.is_in(exposed, value_set=pa.array(bundle.catalog.item_ids, pa.string())))
        )
        if unknown.as_py() == len(exposed):
            raise InputError(
                f"none of {len(exposed)} exposures since {since.isoformat()} is of an item of bundle "
                f"{bundle.version}; is --data of the same service? New items come in by `higr catalog update`"
            )
        split = pc.if_else(held_out, "validation", "train")
        slates = slates.set_column(
            slates.schema.get_field_index("split"), slates.schema.field("split"), split
        )
        return cls(
            replace(
                data,
                slates=slates,
                items=conform(bundle.items, ITEMS, f"bundle {bundle.path}: items.parquet").cast(ITEMS),
                report=data.report
                | {"validation_start": boundary.as_py().isoformat(timespec="milliseconds")},
            ),
            since,
            slates["timestamp"][-1].as_py(),
            unknown.as_py(),
        )

    def figures(self) -> dict[str, float | int | str]:
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "slates_train": self.data.split("train").num_rows,
            "slates_validation": self.data.split("validation").num_rows,
            "exposures_of_unknown_items": self.unknown,
        }


def read_moment(text: str, option: str) -> datetime:
    """ISO 8601; UTC where it names no zone.

    Raises:
        InputError: it is no moment.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} {text!r} is no moment; write it as 2026-05-01T06:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
