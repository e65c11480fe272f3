"""What a run of each pipeline may be given, and the check of it before anything is computed."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from higr.config import MAX_REALIGN_HOURS, RunConfig, Section, parse_config
from higr.errors import InputError, StoreError


class Parameters(Section):
    """Of every pipeline."""

    config: str = Field(description="a whole configuration, YAML or JSON; the default is the one compiled in")
    store: str = Field(
        "",
        description="root of the bundle store, a folder or s3://bucket/prefix; empty: no gate, no publishing",
    )
    webhook: str = Field("", description="URL that is told how the run ended; empty: only the log is")
    ui: str = Field(
        "", description="address of the KFP UI, for the link in what the webhook is told; empty: no link"
    )
    api: str = Field(
        "", description="address of the KFP API, which knows the stage that failed; empty: it is not named"
    )

    @field_validator("webhook", "ui", "api")
    @classmethod
    def _is_address(cls, address: str) -> str:
        if address and not address.startswith(("http://", "https://")):
            raise ValueError("an http:// or https:// address is due")
        return address


class TrainingParameters(Parameters):
    """A bundle from nothing."""

    data_version: str = Field(
        "",
        description="a name for the state of the files under `data.path`: a date, a checksum; needed unless "
        "the source is the simulator",
    )


class _FromProduction(Parameters):
    @model_validator(mode="after")
    def _store_is_given(self) -> Self:
        if not self.store:
            raise ValueError("store is empty; give the root of the store that production is in")
        return self


class RefreshParameters(_FromProduction):
    """Other items in the bundle in production."""

    items: str = Field(
        "",
        description="Parquet file of new items and new attributes, on a volume of task `update_catalogue`",
    )
    remove: str = Field("", description="ids to drop, comma-separated, or a .txt file with one a line")
    disable: str = Field("", description="ids to keep but not to show, as `remove`")
    enable: str = Field("", description="ids to show again, as `remove`")

    @model_validator(mode="after")
    def _something_to_change(self) -> Self:
        if not (self.items or self.remove or self.disable or self.enable):
            raise ValueError("items, remove, disable and enable are empty; give one")
        return self


class RealignParameters(_FromProduction):
    """The bundle in production, aligned on the last hours of feedback."""

    hours: float = Field(
        6.0, gt=0, le=MAX_REALIGN_HOURS, description="hours before the newest slate that are learned from"
    )


PARAMETERS: Mapping[str, type[Parameters]] = {
    "training": TrainingParameters,
    "refresh": RefreshParameters,
    "realign": RealignParameters,
}


def read(pipeline: str, given: Mapping[str, Any]) -> Parameters:
    """Names, types and ranges.

    Raises:
        InputError: the first that does not fit, with its name and value.
    """
    try:
        return PARAMETERS[pipeline].model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        value = f" (got {first['input']!r})" if name else ""
        told = first["msg"].removeprefix("Value error, ")
        raise InputError(f"parameters of {pipeline}: {f'{name}: ' if name else ''}{told}{value}") from None


def check(pipeline: str, given: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> RunConfig:
    """All that can be known before the first stage: parameters, configuration, and whether the store answers.

    others: parameters of all pipelines, of which this one's are taken.

    Raises:
        InputError, StoreError: one of them cannot be used; the message names it.
    """
    own = PARAMETERS[pipeline].model_fields
    parameters = read(pipeline, {**given, **{n: v for n, v in (others or {}).items() if n in own}})
    config = parse_config(parameters.config)
    if isinstance(parameters, TrainingParameters):
        need_version(config, parameters.data_version)
    if isinstance(parameters, RefreshParameters):
        _check_ids(parameters)
    if parameters.store:
        _check_store(parameters.store, in_production=isinstance(parameters, _FromProduction))
    return config


def need_version(config: RunConfig, data_version: str) -> None:
    """Without a name for the state of the files, a cached result would hide that they changed.

    Raises:
        InputError: there is none, and the source has files.
    """
    if config.data.source != "simulator" and not data_version:
        raise InputError(
            f"data_version is empty, so a change of the files in {config.data.path} would go "
            "unseen; give a date or a checksum"
        )


def _check_ids(parameters: RefreshParameters) -> None:
    """An id in two lists; files of ids are on a volume that only the task `update_catalogue` sees."""
    from higr.catalog_update import Changes, read_ids

    texts = (parameters.remove, parameters.disable, parameters.enable)
    remove, disable, enable = (() if text.endswith(".txt") else read_ids(text, "") for text in texts)
    if remove or disable or enable:
        Changes(remove=remove, disable=disable, enable=enable)


def _check_store(uri: str, in_production: bool) -> None:
    from higr.store.store import BundleStore

    index = BundleStore(uri).index()
    if in_production and index.production is None:
        raise StoreError(
            f"store {uri.partition('?')[0]}: nothing is in production; put a version there with "
            "`higr bundle promote`"
        )
