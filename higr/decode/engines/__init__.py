"""Engines: models of HiGR's interface that decode faster.

`reference` is the model itself, in float32 where it is: the oracle of the others. `cpu` is int8 on one core.
"""

import logging
from typing import Literal, get_args

from higr.decode.engines.int8 import Int8HiGR
from higr.decode.slate import SlateModel
from higr.errors import EngineError
from higr.model.higr import HiGR

_log = logging.getLogger(__name__)

EngineName = Literal["auto", "reference", "cpu"]


def build_engine(name: str, model: HiGR) -> SlateModel:
    """The model as an engine runs it.

    Args:
        name: `auto` is the fastest that this machine runs.

    Raises:
        EngineError: no such engine, or one that this machine, installation or model cannot run.
    """
    if name not in get_args(EngineName):
        raise EngineError(f"engine {name!r}: engines are {', '.join(get_args(EngineName))}")
    if name == "reference":
        return model.eval()
    try:
        return Int8HiGR(model)
    except EngineError as error:
        if name == "cpu":
            raise
        _log.info("engine reference serves: %s", error)
        return model.eval()
