"""Cache keys of local runs: equal exactly when a stage would do the same again.

KFP's own local key knows the text of a component and its arguments, not the code it imports nor the files
it reads. A key here is a digest of the code of the packages a stage runs, the environment it runs in, the
configuration sections it reads, and the keys of the stages before it; the first stage adds the content of
the source's files.
"""

import hashlib
import json
import os
import platform
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from higr.config import DataConfig, RunConfig
from higr.files import sha256
from pipelines.graph import STAGES, Graph


def cache_keys(config: RunConfig, data_version: str, graph: Graph = STAGES) -> dict[str, str]:
    """A hex digest for every stage that may come from the cache."""
    cached = {name: stage for name, stage in graph.items() if stage.cached}
    document = config.model_dump(mode="json")
    code = {name: package_digest(name) for name in {p for s in cached.values() for p in s.packages}}
    installed = environment()
    keys: dict[str, str] = {}
    for name, stage in cached.items():
        content = {
            "stage": name,
            "code": [code[package] for package in stage.packages],
            "environment": installed,
            "sections": {section: document[section] for section in stage.sections},
            "after": [keys[earlier] for earlier in stage.after],
            "data": "" if stage.after else data_version,
        }
        keys[name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return keys


def package_digest(name: str) -> str:
    """Digest of the Python sources of a package, found without importing it."""
    spec = find_spec(name)
    folders = (spec.submodule_search_locations or []) if spec else []
    digest = hashlib.sha256()
    for folder in map(Path, folders):
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{file.relative_to(folder)}:{sha256(file)}\n".encode())
    return digest.hexdigest()


def environment() -> str:
    """Digest of what else decides results here: Python, every installed distribution, and the threads."""
    facts = {
        "python": platform.python_version(),
        "installed": sorted({f"{found.name}=={found.version}" for found in metadata.distributions()}),
        # The order of a sum over threads shows in the weights. Unset, it is for the cores to say.
        "threads": os.environ.get("OMP_NUM_THREADS") or f"{os.cpu_count()} cores",
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def data_version(config: DataConfig) -> str:
    """Digest of the content of all files under `data.path`, hidden ones left out; "" for the simulator.

    A path that is no folder counts as empty: the first stage says what is wrong with it.
    """
    if config.source == "simulator" or config.path is None:
        return ""
    base = Path(config.path)
    digest = hashlib.sha256()
    for file in sorted(base.rglob("*")):
        relative = file.relative_to(base)
        if file.is_file() and not any(part.startswith(".") for part in relative.parts):
            digest.update(f"{relative}:{sha256(file)}\n".encode())
    return digest.hexdigest()
