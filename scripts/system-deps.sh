#!/bin/sh
# Installs what the tests need beside Python packages; run again, it does nothing.
#
#   scripts/system-deps.sh            (or: make system-deps; PYTHON names another interpreter)
#
# - Debian packages: chromium, which the report tests open pages with; redis-server, Prometheus, Alertmanager and
#   Pushgateway, which tests start for themselves: their services are neither started nor enabled; a C compiler
#   for the int8 kernels; Java for the tests on local Spark.
# - .tools/bin/{helm,helm3,kubectl}: Helm 4 and 3 and kubectl for the chart tests.
set -eu
cd "$(dirname "$0")/.."

SERVICES="redis-server prometheus prometheus-alertmanager prometheus-pushgateway"
PACKAGES="chromium $SERVICES"

missing=""
for package in $PACKAGES; do
    command -v "$package" >/dev/null 2>&1 || missing="$missing $package"
done
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v java >/dev/null 2>&1 || missing="$missing openjdk-17-jre-headless"
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
    # Debian asks this file before it starts a service that was just installed; 101: do not.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
        $sudo chmod 755 "$policy"
        trap '$sudo rm -f "$policy"' EXIT
    fi
    $sudo apt-get update -qq
    # shellcheck disable=SC2086  # one word a package is meant
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
    for service in $SERVICES; do # nor at the next start of the machine
        case "$missing " in *" $service "*) $sudo systemctl --quiet disable "$service" 2>/dev/null || true ;; esac
    done
fi

python=${PYTHON:-python3}
if [ -z "${PYTHON:-}" ] && [ -x .venv/bin/python ]; then
    python=.venv/bin/python
fi
"$python" scripts/get_helm.py .tools/bin
