"""The image of components on a cluster: this project and its `train`, `features` and `pipeline` extras."""

from importlib.metadata import version

IMAGE = f"higr/train:{version('higr')}"
"""Default; `python -m pipelines compile --image` or `HIGR_IMAGE` names another.

Give every build of the image its own tag: Kubeflow reuses a task's results for an equal tag, whatever code
is behind it. Local runs use the interpreter that starts them, and no image.
"""
