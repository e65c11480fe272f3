"""Print requirements.lock: the installed versions of all that the project and its extras need.

Use after changing dependencies: install them into the environment, run the tests, then
`python scripts/lock.py > requirements.lock`.
"""

from collections.abc import Iterator
from importlib.metadata import distribution, metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = "# Tested together on Python 3.11: every dependency of every extra. Written by scripts/lock.py."


def needs(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """The direct requirements of a distribution with these extras, on this machine."""
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": e}) for e in extras or {""}
        ):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def closure(name: str, extras: frozenset[str]) -> dict[str, str]:
    """Versions of everything reachable, the project itself left out."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += needs(*node)
    # A local build tag (torch's "+cpu") is not part of what other machines can install.
    return {n: distribution(n).version.split("+")[0] for n, _ in seen if n != name}


def main() -> None:
    extras = frozenset(metadata("higr").get_all("Provides-Extra") or [])
    print(HEADER)  # noqa: T201
    for name, version in sorted(closure("higr", extras).items()):
        print(f"{name}=={version}")  # noqa: T201


if __name__ == "__main__":
    main()
