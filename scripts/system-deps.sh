#!/bin/sh
# Installs what the tests need beside Python packages; run again, it does nothing.
#
#   scripts/system-deps.sh            (or: make system-deps; PYTHON names another interpreter)
#
# - Debian packages: chromium, which the report tests open pages with; redis-server, which tests of the online
#   feature store start for themselves; a C compiler for the int8 kernels.
# - .tools/bin/{helm,helm3,kubectl}: Helm 4 and 3 and kubectl for the chart tests.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="chromium redis-server"

missing=""
for package in $PACKAGES; do
    command -v "$package" >/dev/null 2>&1 || missing="$missing $package"
done
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "no apt-get here: install$missing with this system's package manager, then run this again" >&2
        exit 1
    fi
    sudo=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 || { echo "not root and no sudo: run as root: apt-get install$missing" >&2; exit 1; }
        sudo="sudo"
    fi
    $sudo apt-get update -qq
    # shellcheck disable=SC2086  # one word a package is meant
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
fi

python=${PYTHON:-python3}
if [ -z "${PYTHON:-}" ] && [ -x .venv/bin/python ]; then
    python=.venv/bin/python
fi
"$python" scripts/get_helm.py .tools/bin
