"""A YAML file of a known form; what is wrong with it is one line that names the field."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from higr.errors import InputError

Form = TypeVar("Form", bound=BaseModel)


def read_yaml(path: Path, form: type[Form], what: str, max_bytes: int) -> Form:
    """An empty file is a form without fields.

    Args:
        what: names the file in messages: policy, configuration.

    Raises:
        InputError: no file, longer than `max_bytes`, not YAML, or not of this form.
    """
    try:
        with path.open("rb") as file:
            text = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"{what} {path}: {error.strerror}; give one that can be read") from None
    if len(text) > max_bytes:
        raise InputError(f"{what} {path}: more than {max_bytes} bytes; write a shorter one")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = "" if where is None else f" in line {where.line + 1}"
        raise InputError(f"{what} {path}: not YAML{line}") from None
    try:
        return form.model_validate({} if document is None else document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{what} {path}: {field}: {problem}") from None
