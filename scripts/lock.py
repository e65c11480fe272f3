"""Write requirements.lock, versions of all that the project and its extras need, and images/locks.

After a change of dependencies: install them into the environment, run the tests, `python scripts/lock.py`.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import distribution, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Tested together on Python 3.11: every dependency of every extra. Written by scripts/lock.py."

ROLES = {
    "serve": ("serve", "features"),
    "train": ("train", "text", "pipeline", "features"),
    "tools": ("serve", "features", "pipeline", "monitor"),
}
"""Extras of each image. Tools have `serve` for the Kubernetes client that comes with it."""

NOT_IN_IMAGES = frozenset({"mypy", "types-greenlet", "grpcio-tools"})
"""Feast asks for a type checker and a compiler of protocols; neither is imported by what runs."""


def needs(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """The direct requirements of a distribution with these extras, on this machine."""
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": e}) for e in extras or {""}
        ):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def closure(name: str, extras: frozenset[str], without: frozenset[str] = frozenset()) -> dict[str, str]:
    """Versions of everything reachable but through `without`, the project itself left out."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        node = waiting.pop()
        if node not in seen and node[0] not in without:
            seen.add(node)
            waiting += needs(*node)
    # A local build tag (torch's "+cpu") is not part of what other machines can install.
    return _versions(*{n for n, _ in seen if n != name})


def locks() -> dict[str, str]:
    """Content of every lock by its path in the repository.

    Each image has what its role needs, cut in two: torch and what torch needs are a layer that all share.
    """
    extras = frozenset(metadata("higr").get_all("Provides-Extra") or [])
    torch = closure("torch", frozenset()) | _versions("torch")
    written = {"requirements.lock": _text(HEADER, closure("higr", extras))}
    written["images/locks/build.txt"] = _text("# Builds the project's wheel.", _versions("setuptools"))
    written["images/locks/torch.txt"] = _text("# torch and what it needs.", torch)
    for role, wanted in ROLES.items():
        found = closure("higr", frozenset(wanted), NOT_IN_IMAGES)
        rest = {name: version for name, version in found.items() if name not in torch}
        written[f"images/locks/{role}.txt"] = _text(
            f"# Image {role}, beside torch: {', '.join(wanted)}.", rest
        )
    return written


def _versions(*names: str) -> dict[str, str]:
    return {name: distribution(name).version.split("+")[0] for name in names}


def _text(header: str, versions: Mapping[str, str]) -> str:
    return "".join(f"{line}\n" for line in (header, *(f"{n}=={v}" for n, v in sorted(versions.items()))))


def main() -> None:
    for path, text in locks().items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main()
