"""An emulated API server for tests: real clients, nothing but loopback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tools import require


@contextmanager
def kube_tools() -> Iterator[None]:
    """The contract tools beside the repository can be imported."""
    folder = str(require("kube-tools").parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextmanager
def emulated(folder: Path, namespace: str = "models", crds: str = "") -> Iterator[dict[str, str]]:
    """A server that knows the platform's CRDs; yields the environment by which clients find it.

    Args:
        folder: takes the kubeconfig and the caches of clients.
        crds: file of CRDs, of a platform that has these alone.
    """
    known = require("crds") / crds
    with kube_tools():
        from kube_emulator import Emulator
    server: Any
    with Emulator(crd_paths=[str(known)], namespaces=[namespace]) as server:
        kubeconfig = server.write_kubeconfig(folder / "kubeconfig.yaml", namespace=namespace)
        yield {"KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(folder / "kube"), "HOME": str(folder)}
