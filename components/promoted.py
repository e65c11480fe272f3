"""A rollout that did not end in a promotion is a red task."""

from kfp import dsl

from components.rollout import TOOLS


@dsl.component(base_image=TOOLS, install_kfp_package=False)
def promoted(phase: str) -> None:
    """Fail unless the phase is promoted; why it is not, the artifact `looks` of the rollout says."""
    import sys

    if phase != "promoted":
        sys.stderr.write(f"rollout: {phase}, not promoted; see the last line of looks\n")
        raise SystemExit(1)
