"""Requests and responses as they are on the wire (KServe V1), and the errors of bad requests.

Every limit is here. A field that is not named here is refused: a misspelt constraint must not be
taken for no constraint.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from higr.errors import InputError
from higr.slate import UserContext
from serving.ask import Refusal

MAX_INSTANCES = 32
MAX_HISTORY = 500
MAX_EXCLUDED = 1000
MAX_SLATE = 50
MAX_STORED_HISTORY = 10_000
"""Of one context on its way to the predictor: stored features may be longer than what a client may send."""
MAX_DISABLED = 1000
"""Items that the feature store says are disabled: more need another bundle."""
MAX_STORED_PROFILE = 256
MAX_SITUATION = 16
MAX_RULES = 1000
MAX_EVENTS = 500
MAX_PROBLEMS = 1000
"""In one body, beyond which none of them is named."""
AHEAD_SECONDS = 300
"""How far the clock of a sender of feedback may be ahead."""

Id = Annotated[str, Field(min_length=1, max_length=128)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ProfileValue = Annotated[str, Field(max_length=128)]
Source = Literal["higr", "baseline", "popular"]


_FIELDS: set[str] = set()
"""Names of all messages' fields: what may be a metric's label."""


class Wire(BaseModel):
    """Base of all messages: no coercion ("5" is not 5), no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        _FIELDS.update(cls.model_fields)


class Context(Wire):
    """What is known of a user: recent items, oldest first, and one feedback level an item.

    Feedback levels: 0 negative, 1 exposed, 2 engaged, 3 strong.
    """

    item_ids: list[str] = Field(default_factory=list)
    feedback: list[Annotated[int, Field(ge=0, le=3)]] = Field(default_factory=list)
    profile: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        if len(self.item_ids) != len(self.feedback):
            raise ValueError(
                f"{len(self.item_ids)} item_ids, {len(self.feedback)} feedback levels; give one level an item"
            )
        return self

    def user_context(self, user_id: str) -> UserContext:
        return UserContext(user_id, tuple(self.item_ids), tuple(self.feedback), self.profile)


class RequestContext(Context):
    """A client's own context; given, it is used instead of the stored features."""

    item_ids: Annotated[list[Id], Field(max_length=MAX_HISTORY)] = Field(default_factory=list)
    feedback: Annotated[list[Annotated[int, Field(ge=0, le=3)]], Field(max_length=MAX_HISTORY)] = Field(
        default_factory=list
    )
    profile: Annotated[dict[Id, ProfileValue], Field(max_length=64)] = Field(default_factory=dict)


class Constraints(Wire):
    """What the slate must not hold."""

    exclude_items: Annotated[list[Id], Field(max_length=MAX_EXCLUDED)] = Field(default_factory=list)
    exclude_seen: bool = Field(default=True, description="leave out what the context already holds")


class Instance(Wire):
    """One slate asked for."""

    user_id: Id
    slate_size: int | None = Field(
        default=None, ge=1, le=MAX_SLATE, description="none: as the bundle is configured"
    )
    context: RequestContext | None = None
    surface: Id | None = Field(default=None, description="where the slate is shown: page, tab, device")
    constraints: Constraints = Constraints()
    request_id: Id | None = Field(default=None, description="joins the logs; made here when not given")
    explain: bool = Field(default=False, description="say which rules of the policy removed what")


class PredictRequest(Wire):
    """Body of `POST /v1/models/higr:predict`."""

    instances: Annotated[list[Instance], Field(min_length=1, max_length=MAX_INSTANCES)]


class Item(Wire):
    """One place of a slate; `position` 1 is shown first, `semantic_id` has D codes."""

    item_id: str
    position: int
    score: float
    semantic_id: list[int]
    title: str | None
    category: str | None
    duration_seconds: float | None
    disclosure: str | None = Field(default=None, description="to be shown with a position that is sold")


class Removed(Wire):
    """What one rule of the policy removed: how many items of the catalogue, the most popular of them."""

    rule: str
    items: int
    examples: list[str]


class Prediction(Wire):
    """One slate answered, and why it looks as it does.

    Attributes:
        source: who made it.
        fallback_reason: why it was not HiGR; null when it was.
        degraded: made without the user's stored features, or with old ones.
        model_version: the bundle that made it.
        removed: what the policy removed, where `explain` asked for it.
    """

    request_id: str
    user_id: str
    items: list[Item]
    source: Source
    fallback_reason: str | None
    degraded: bool
    model_version: str
    removed: list[Removed] | None = None


class PredictResponse(Wire):
    """Body of the answer: one prediction an instance, in order."""

    predictions: list[Prediction]


class StoredContext(Context):
    """What the transformer sends on: a client's context or the stored features."""

    item_ids: Annotated[list[str], Field(max_length=MAX_STORED_HISTORY)] = Field(default_factory=list)
    feedback: Annotated[list[Annotated[int, Field(ge=0, le=3)]], Field(max_length=MAX_STORED_HISTORY)] = (
        Field(default_factory=list)
    )
    profile: Annotated[dict[str, str], Field(max_length=MAX_STORED_PROFILE)] = Field(default_factory=dict)
    situation: Annotated[dict[Id, Id], Field(max_length=MAX_SITUATION)] = Field(default_factory=dict)

    def user_context(self, user_id: str) -> UserContext:
        return replace(super().user_context(user_id), situation=self.situation)


class Pin(Wire):
    """An item and the position, from 1, at which it stands."""

    position: int = Field(ge=1, le=MAX_SLATE)
    item_id: Id


class Exploration(Wire):
    """See `higr.decode.sampling.Sampling`."""

    share: float = Field(ge=0, le=1)
    temperature: float = Field(ge=1e-3, le=1e6)
    seed: int = Field(ge=0, lt=2**63)


class PredictorInstance(Wire):
    """One slate the transformer asks of the predictor: everything is decided already."""

    user_id: Id
    slate_size: int = Field(ge=1, le=MAX_SLATE)
    context: StoredContext
    exclude_items: Annotated[list[str], Field(max_length=MAX_EXCLUDED + MAX_STORED_HISTORY + MAX_DISABLED)]
    rules: Annotated[list[Id], Field(max_length=MAX_RULES)] = Field(
        default_factory=list,
        description="rules of the policy that block something here; both have the same file",
    )
    per_category: int | None = Field(default=None, ge=1)
    pinned: Annotated[list[Pin], Field(max_length=MAX_SLATE)] = Field(default_factory=list)
    exploration: Exploration | None = None


class PredictorRequest(Wire):
    """Body of `POST /v1/models/higr-predictor:predict`."""

    instances: Annotated[list[PredictorInstance], Field(min_length=1, max_length=MAX_INSTANCES)]
    deadline_ms: float = Field(
        default=1000.0, gt=0, le=60_000, description="work not begun by then is dropped"
    )


class PredictorSlate(Wire):
    """One slate as decoded, or why there is none; then the lists are empty."""

    item_ids: list[str]
    scores: list[float]
    semantic_ids: list[list[int]]
    propensities: list[float] = Field(default_factory=list)
    refused: Refusal | None = None


class PredictorResponse(Wire):
    """Body of the predictor's answer."""

    predictions: list[PredictorSlate]
    model_version: str


class FeedbackEvent(Wire):
    """What became of one item that was shown: a row of `higr.data.logs.FEEDBACK`.

    Attributes:
        event_id: an event that is sent again under its id is there once.
        timestamp: when it happened, RFC 3339 with its zone.
    """

    event_id: Id
    user_id: Id
    item_id: Id
    timestamp: Annotated[AwareDatetime, Field(strict=False)]
    request_id: Id | None = None
    position: int | None = Field(default=None, ge=1, le=MAX_SLATE)
    watch_seconds: Seconds | None = None
    duration_seconds: Seconds | None = None
    rating: float | None = Field(default=None, allow_inf_nan=False)
    clicked: bool | None = None
    long_view: bool | None = None
    liked: bool | None = None
    followed: bool | None = None
    commented: bool | None = None
    shared: bool | None = None
    disliked: bool | None = None
    surface: Id | None = None

    @field_validator("timestamp", mode="before")
    @classmethod
    def _written(cls, value: object) -> object:
        """pydantic takes a number for seconds of which nobody knows the zone."""
        if not isinstance(value, str):
            raise ValueError("a moment as RFC 3339 writes it is due, 2026-03-01T12:00:00Z")
        return value

    @field_validator("timestamp")
    @classmethod
    def _past(cls, moment: datetime) -> datetime:
        ahead = (moment - datetime.now(UTC)).total_seconds()
        if ahead > AHEAD_SECONDS:
            raise ValueError(f"{ahead:.0f} seconds from now; set the clock of the sender")
        return moment


class FeedbackRequest(Wire):
    """Body of `POST /v1/feedback`."""

    events: Annotated[list[FeedbackEvent], Field(min_length=1, max_length=MAX_EVENTS)]


class FeedbackResponse(Wire):
    """All events are kept: so many now, so many before."""

    accepted: int
    repeated: int


class RequestError(InputError):
    """A request that is answered 4xx.

    Attributes:
        path: the field at fault as the client wrote it, `instances[0].slate_size`.
        field: its name in these schemas, safe as a metric label: never what a client made up.
    """

    def __init__(self, path: str, field: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.field = path, field


def check_sizes(sizes: Iterable[int], longest: int) -> None:
    """Refuse what only the bundle can know to be too long.

    Raises:
        RequestError: a slate of more than `longest` items, naming its instance.
    """
    for row, size in enumerate(sizes):
        if size > longest:
            raise RequestError(
                f"instances[{row}].slate_size",
                "slate_size",
                f"{size} is more than the {longest} items this bundle plans",
            )


Message = TypeVar("Message", bound=Wire)


def parse(model: type[Message], payload: Any) -> Message:
    """Check a body: a mapping KServe has decoded, or bytes it has not (unusual content types).

    Raises:
        RequestError: not JSON, not of this form, or over a limit.
    """
    with uncollected():
        return _parse(model, payload)


@contextmanager
def uncollected() -> Iterator[None]:
    """While a body is read: a collection walks what was read so far, again and again, which takes ten times
    as long as reading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parse(model: type[Message], payload: Any) -> Message:
    if isinstance(payload, bytes | str):
        try:
            payload = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise RequestError("body", "body", f"not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise RequestError("body", "body", 'a JSON object is due, {"instances": [...]}')
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:  # to find the first one all are written
            raise RequestError("body", "body", f"{error.error_count()} fields cannot be taken") from None
        first = error.errors(include_url=False, include_input=False)[0]
    loc = first["loc"]
    named = [part for part in loc if isinstance(part, str) and part in _FIELDS]
    problem = str(first["msg"]).removeprefix("Value error, ")
    raise RequestError(_path(loc), named[-1] if named else "body", problem)


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:64]}"
    return path.removeprefix(".") or "body"
