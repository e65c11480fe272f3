"""What a decoder is asked for: one slate, and what may stand in it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from higr.decode.sampling import Sampling
from higr.errors import InputError
from higr.slate import UserContext

Prefix = tuple[int, ...]
"""The first codes of a semantic ID; 1 to D of them."""


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a slate may hold, and where. An item that is not allowed never stands in it.

    Attributes:
        exclude: items that are left out; ids that the catalogue does not know are ignored.
        allow: name of a set of items that was registered with the decoder; nothing else is shown. None:
            the whole catalogue.
        blocked: prefixes whose items are left out.
        pinned: position from 1 to the item, or the prefix of the item, that stands there. A prefix under
            which nothing is eligible any more gives way to its longest prefix under which something is.
        per_prefix: length of a prefix to the most items of the slate that may share one of this length.
        per_category: most items of one category; None: any number.
    """

    exclude: Collection[str] = ()
    allow: str | None = None
    blocked: tuple[Prefix, ...] = ()
    pinned: Mapping[int, str | Prefix] = field(default_factory=dict)
    per_prefix: Mapping[int, int] = field(default_factory=dict)
    per_category: int | None = None


@dataclass(frozen=True, slots=True)
class SlateRequest:
    """One slate.

    Attributes:
        slate_size: M; requests of one batch may differ in it.
        beam_width: W; None: the decoder's.
        sampling: None: the best slate.
        shown: items of the pages before this one, in order. None is shown again, and the planner goes on
            behind the last of them, as many as leave it room for M more; caps count this page alone.
    """

    context: UserContext
    slate_size: int
    constraints: Constraints = Constraints()
    beam_width: int | None = None
    sampling: Sampling | None = None
    shown: tuple[str, ...] = ()

    @property
    def allowed(self) -> Constraints:
        """The constraints, with what was shown before excluded."""
        if not self.shown:
            return self.constraints
        return replace(self.constraints, exclude={*self.constraints.exclude, *self.shown})

    def __post_init__(self) -> None:
        if self.slate_size < 1:
            raise InputError(f"slate size {self.slate_size}: at least 1 is due")
        if self.beam_width is not None and self.beam_width < 1:
            raise InputError(f"beam width {self.beam_width}: at least 1 is due")
