#!/bin/sh
# Runs inside image builds (images/Containerfile).
#
#   layer.sh LAYER LOCK [PIP OPTION...]   install a lock under /layers/LAYER, laid out as /opt/higr is
#   layer.sh check-torch cpu|cuda         refuse a torch of the other kind
set -eu

packages() {
    echo "/layers/$1/lib/python3.11/site-packages"
}

if [ "$1" = check-torch ]; then
    PYTHONPATH=$(packages torch) python3 - "$2" <<'PYTHON'
import sys

import torch

found = "cpu" if torch.version.cuda is None else "cuda"
if sys.argv[1] != found:
    sys.exit(f"TORCH_BUILD is {sys.argv[1]!r}, but pip found torch {torch.__version__}: name another TORCH_INDEX")
PYTHON
    exit
fi

layer=$1 lock=$2
shift 2
# --ignore-installed: what the build's own environment has must be in the layer all the same.
/opt/higr/bin/pip install --no-cache-dir --no-compile --no-build-isolation --ignore-installed \
    --prefix "/layers/$layer" --requirement "$lock" "$@"

# What never runs in a service: tests, headers, and torch's test programs (but not its shared-memory manager).
cd "$(packages "$layer")"
rm -rf torch/include torch/test pyarrow/include pyarrow/src
[ ! -d torch/bin ] || find torch/bin -type f ! -name torch_shm_manager -delete
for package in networkx numpy pandas pyarrow scipy sklearn sympy; do
    [ ! -d "$package" ] || find "$package" -type d -name tests -prune -exec rm -rf {} +
done

# Bytecode that holds neither times nor paths of the build, and is not checked against its source when it is loaded.
PYTHONHASHSEED=0 python3 -m compileall -q -s "/layers/$layer" -p /opt/higr --invalidation-mode unchecked-hash "$PWD" \
    || echo "the files above are for other versions of Python, and have no bytecode"
