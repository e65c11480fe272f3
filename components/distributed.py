"""The stage `pretrain` by a TrainJob: inputs to the shared folder, the job, weights out of it."""

import hashlib
import os
import shutil
from pathlib import Path

from components.launch import Launcher
from components.trainjob import TrainJobSettings, train_job
from higr import stages
from higr.config import RunConfig
from higr.errors import InputError
from higr.files import atomic_directory, atomic_file


def pretrain_on_cluster(
    config: RunConfig,
    settings: TrainJobSettings,
    image: str,
    data: Path,
    tokens: Path,
    out: Path,
    *,
    inputs: tuple[str, ...],
) -> stages.Figures:
    """Train in `<mount>/<job>`, which is removed once the weights are in `out`.

    inputs: addresses of data and tokens: with the configuration and the image they name the job, so that
        another try at the same goes on from the checkpoints of the last.

    Raises:
        InputError: the claim is not mounted, or the configuration does not suit the nodes.
        TrainJobError: as `components.launch.Launcher.run`.
    """
    same = "\n".join((config.model_dump_json(), image, *inputs))
    name = f"higr-pretrain-{hashlib.sha256(same.encode()).hexdigest()[:10]}"
    mount = Path(settings.mount)
    if not mount.is_dir():
        raise InputError(f"trainjob.mount {mount} is not there; mount claim {settings.claim} into this task")
    folder = mount / name
    job = train_job(config, settings, name=name, image=image, folder=str(folder), owner=_owner())
    for part, source in (("data", data), ("tokens", tokens)):
        if not (folder / part).exists():  # else of an earlier try of this run
            with atomic_directory(folder / part) as aside:
                shutil.copytree(source, aside, dirs_exist_ok=True)
    with atomic_file(folder / "config.yaml") as aside:
        aside.write_text(config.model_dump_json())
    Launcher().run(job, settings.timeout_seconds, settings.poll_seconds)
    if not (folder / "pretrained").is_dir():
        raise InputError(
            f"TrainJob {name} is complete, but {folder / 'pretrained'} is not there; do its nodes mount "
            f"claim {settings.claim}?"
        )
    with atomic_directory(out) as aside:
        shutil.copytree(folder / "pretrained", aside, dirs_exist_ok=True)
    shutil.rmtree(folder)
    return stages.pretrained_figures(out)


def _owner() -> dict[str, str] | None:
    """This Pod, where the pipeline tells its name: the job then goes with it, however it ends."""
    name, uid = os.environ.get("POD_NAME"), os.environ.get("POD_UID")
    return {"name": name, "uid": uid} if name and uid else None
