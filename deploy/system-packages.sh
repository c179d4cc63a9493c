#!/usr/bin/env bash
# The Debian and Ubuntu packages that deltanas stands on, and those named as arguments; does nothing when all are there.
#   bubblewrap             starts the sandboxes
#   libseccomp2            compiles their system-call filter
#   dataset-fashion-mnist  Fashion-MNIST, 31 MB, MIT licence
#   python3-venv           only where this Python cannot make a virtual environment yet
set -euo pipefail

wanted=(bubblewrap libseccomp2 dataset-fashion-mnist "$@")
python3 -c 'import ensurepip' 2>/dev/null || wanted+=(python3-venv)
missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null; then
    as_root=(sudo)
else
    echo "Missing: ${missing[*]}. As root, run: apt-get install ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
