"""An engine serves a bundle only if its slates are those of the reference, nearly."""

import logging
from collections.abc import Callable

import numpy as np

from higr.catalog import Catalog
from higr.decode.engines import build_engine
from higr.decode.parity import OVERLAP, measure_parity
from higr.decode.slate import SlateModel
from higr.errors import EngineError
from higr.model.higr import HiGR
from higr.slate import Recommender, UserContext

_log = logging.getLogger(__name__)

CONTEXTS = 32
"""That both decode when a bundle is loaded. Not reported by the paper."""


def checked_engine(
    name: str,
    model: HiGR,
    catalog: Catalog,
    floor: float,
    recommender: Callable[[SlateModel], Recommender],
    seed: int = 0,
) -> SlateModel:
    """The engine `name`, compared on this machine with the model it is made of.

    Histories are drawn from the catalogue, for a bundle holds none of its users.

    Args:
        name: `auto` falls back to the reference where no other engine runs or passes.
        floor: least mean share of the reference's first ten items that are among the engine's.
        recommender: what decodes with a model as it will serve.

    Raises:
        EngineError: no such engine, one that cannot run here, or one under the floor.
    """
    engine = build_engine(name, model)
    if engine is model:
        return model
    contexts = drawn_contexts(model, catalog, seed)
    size = min(OVERLAP, model.config.max_slate_size)
    parity = measure_parity(
        recommender(model), recommender(engine), contexts, [{}] * len(contexts), slate_size=size
    )
    if parity.overlap >= floor:
        return engine
    found = f"{parity.overlap:.3f} of the reference's first {size} items are among its own"
    if name == "auto":
        _log.warning("engine reference serves: of the faster engine, %s; the floor is %s", found, floor)
        return model
    raise EngineError(
        f"engine {name}: {found}, and decode.parity_floor is {floor}; "
        "use engine reference, or lower the floor if that is good enough"
    )


def drawn_contexts(model: HiGR, catalog: Catalog, seed: int) -> list[UserContext]:
    """Users with histories of any length up to the model's, any items, feedback from exposed to strong."""
    rng = np.random.default_rng(seed)
    users = []
    for user in range(CONTEXTS):
        length = int(rng.integers(0, model.config.history_length + 1))
        items = tuple(catalog.item_ids[at] for at in rng.integers(0, len(catalog), length))
        users.append(UserContext(f"drawn {user}", items, tuple(rng.integers(1, 4, length).tolist())))
    return users
