"""Errors a user can act on. The CLI prints them as one line and exits with code 2."""


class HigrError(Exception):
    """Something the user can mend; the message says what, the value, and what to do."""


class InputError(HigrError):
    """A file, table or request that cannot be used as given."""


class QualityGateError(HigrError):
    """A stage refused to go on because its result is below a configured threshold."""


class BundleError(HigrError):
    """A bundle that is incomplete, altered, or whose parts do not belong together."""


class StoreError(HigrError):
    """A store of bundles that does not answer, does not hold what is asked for, or does not add up."""


class EngineError(HigrError):
    """A decoding engine that this machine, installation or model cannot run."""


class NotDecoded(HigrError):
    """A request that was given up so that it, or others, are not late.

    Attributes:
        reason: one word, for a metric's label.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Overloaded(NotDecoded):
    """Refused on arrival: `queue_full`, `no_time` for it, or more than its `fair_share`."""


class DeadlineExceeded(NotDecoded):
    """`expired` on arrival, `no_time` left when its turn came, or `late`: not decoded by its deadline."""


class DecoderClosed(NotDecoded):
    """`closed`: the decoder takes and holds no more requests."""
