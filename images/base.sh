#!/bin/sh
# Makes a base image from Debian's packages alone, for builds that must not ask a container registry.
#
#   images/base.sh [NAME]        default NAME: localhost/debian:12-slim; MIRROR=URL takes another mirror
#
# Prints NAME@sha256:..., which `images/build.py --base` takes. The same packages give the same digest.
set -eu

name=${1:-localhost/debian:12-slim}
epoch=315532800 # 1980, as in build.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

SOURCE_DATE_EPOCH=$epoch mmdebstrap --quiet --variant=minbase --include=ca-certificates \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm "$work/root.tar" ${MIRROR:+"$MIRROR"} >&2

container=$(buildah from --pull=never scratch)
trap 'rm -rf "$work"; buildah rm "$container" >/dev/null' EXIT
buildah add --quiet "$container" "$work/root.tar" / >/dev/null
buildah config --cmd /bin/sh --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet --timestamp "$epoch" "$container" "$name" >/dev/null
echo "${name%:*}@$(buildah inspect --type image --format '{{.FromImageDigest}}' "$name")"
