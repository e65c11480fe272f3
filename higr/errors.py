"""Errors a user can act on. The CLI prints them as one line and exits with code 2."""


class HigrError(Exception):
    """Something the user can mend; the message says what, the value, and what to do."""


class InputError(HigrError):
    """A file, table or request that cannot be used as given."""


class QualityGateError(HigrError):
    """A stage refused to go on because its result is below a configured threshold."""


class BundleError(HigrError):
    """A bundle that is incomplete, altered, or whose parts do not belong together."""


class EngineError(HigrError):
    """A decoding engine that this machine, installation or model cannot run."""
