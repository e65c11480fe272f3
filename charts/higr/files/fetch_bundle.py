"""Bring the bundle of a storage URI to a folder of this pod; exit 1, saying why, where that cannot be.

python fetch_bundle.py s3://models/higr/versions/e2cc864a8345 /mnt/bundle/current
"""

import os
import shutil
import sys
from pathlib import Path

CLAIMS = Path("/mnt/claims")


def main() -> int:
    uri, out = sys.argv[1:]
    # A node that restarts runs it again, in the folder that it left.
    if Path(out).is_symlink():
        Path(out).unlink()
    elif Path(out).exists():
        shutil.rmtree(out)
    if uri.startswith("pvc://"):
        source = CLAIMS / uri.removeprefix("pvc://")
        if not (source / "manifest.json").is_file():
            sys.stderr.write(f"no bundle at {uri}: run helm upgrade, if its claim is another one now\n")
            return 1
        Path(out).symlink_to(source)
        return 0
    store, found, version = uri.rpartition("/versions/")
    if not found:
        sys.stderr.write(f"{uri} is no version of a store: give STORE/versions/VERSION or pvc://CLAIM/PATH\n")
        return 1
    return os.execvp("higr", ["higr", "bundle", "fetch", version, "--store", store, "--out", out])


if __name__ == "__main__":
    sys.exit(main())
