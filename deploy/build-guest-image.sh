#!/usr/bin/env bash
# Builds the image that guests run in on the Docker tiers, and prints the id to pin:
#
#     DELTANAS_GUEST_IMAGE=sha256:…
#
#   --base IMAGE     Debian 12 or newer with /usr/bin/python3; else debootstrap makes one (as root, from --mirror)
#   --mirror URL     Debian's packages for debootstrap; else where this machine gets its own
#   --wheels FOLDER  pip and the packages of pyproject.toml's `runner`, for the base's Python; else pip downloads
#                    them with its own configuration
#   --tag NAME       a name beside the id (deltanas-guest)
#
# Needs docker (DOCKER_HOST says which engine), Python 3.11, 25 GB of disk for the engine (6 remain), and 4 GB
# in TMPDIR. The build itself has no network. Versions come from pyproject.toml.
set -euo pipefail
umask 022

apt_mirror() { apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^bookworm //p' | head -1; }
base='' wheels='' mirror='' tag=deltanas-guest
while [ $# -gt 0 ]; do
    case "$1" in
        --base) base=$2 ;;
        --wheels) wheels=$2 ;;
        --mirror) mirror=$2 ;;
        --tag) tag=$2 ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done

here=$(cd "$(dirname "$0")" && pwd)
sources=$(dirname "$here")
work=$(mktemp -d --tmpdir deltanas-guest-image.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
context=$work/context
mkdir -p "$context/wheels" "$context/source/sandbox_runner"
say() { echo "$@" >&2; }

if [ -z "$base" ]; then
    say "debootstrap: a base of Debian 12 with Python"
    debootstrap --variant=minbase --include=python3 bookworm "$work/base" "${mirror:-$(apt_mirror)}" >"$work/debootstrap.log" 2>&1 \
        || { tail -n 5 "$work/debootstrap.log" >&2; exit 3; }
    base=$(tar -C "$work/base" --one-file-system -c . | docker import - "$tag-base")
    rm -rf --one-file-system "$work/base"
fi
python=$(docker run --rm --network none "$base" /usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# What a guest sees (sandbox_runner/guest_packages.py), at the versions of the runner's requirements; and the users
# that sandboxes run as.
PYTHONPATH=$sources python3 - "$sources/pyproject.toml" "$context" <<'PYTHON'
import sys
import tomllib
from pathlib import Path

from sandbox_runner.guest_packages import PACKAGES
from sandbox_runner.sandboxes.docker.guest_image import SANDBOX_USERS

project, context = tomllib.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
pinned = project["project"]["optional-dependencies"]["runner"]
wanted = [line for line in pinned if line.partition("==")[0] in PACKAGES]
assert len(wanted) == len(PACKAGES), wanted
(context / "requirements.txt").write_text("\n".join(wanted) + "\n")
(context / "constraints.txt").write_text("\n".join(pinned) + "\n")
users = (65_534, *SANDBOX_USERS)
passwd = (f"candidate:x:{user}:{user}::/tmp:/usr/sbin/nologin\n" for user in users)
(context / "passwd").write_text("".join(passwd))
(context / "group").write_text("".join(f"candidate:x:{user}:\n" for user in users))
PYTHON

if [ -z "$wheels" ]; then
    say "pip download, for Python $python: $(paste -sd ' ' "$context/requirements.txt")"
    wheels=$work/wheels
    platforms=(--platform "manylinux2014_$(uname -m)")
    for glibc in $(seq 36 -1 17); do platforms+=(--platform "manylinux_2_${glibc}_$(uname -m)"); done
    python3 -m pip download --quiet --disable-pip-version-check --dest "$wheels" --only-binary :all: \
        --python-version "$python" --implementation cp "${platforms[@]}" \
        --constraint "$context/constraints.txt" --requirement "$context/requirements.txt" pip
fi
compgen -G "$wheels/pip-*.whl" >/dev/null || { say "no pip in $wheels; pip download --no-deps -d $wheels pip"; exit 2; }
cp -l "$wheels"/*.whl "$context/wheels/" 2>/dev/null || cp "$wheels"/*.whl "$context/wheels/"
cp -r "$sources/contracts" "$context/source/contracts"
cp -r "$sources/sandbox_runner/guest" "$context/source/sandbox_runner/guest"
find "$context/source" -name __pycache__ -type d -prune -exec rm -rf {} +

digest=$(PYTHONPATH=$sources python3 -c 'from sandbox_runner.python_environment import sources_digest as d; print(d())')
say "docker build"
docker build --quiet --network none --build-arg "BASE=$base" --build-arg "SOURCES=$digest" \
    --file "$here/guest.Dockerfile" --tag "$tag" "$context" >"$work/image"
docker image prune --force --filter label=deltanas.stage >/dev/null  # the first two stages, 15 GB
image=$(docker image inspect --format '{{.Id}}' "$(cat "$work/image")")

say "a look inside, as a guest would have it"
docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
    --security-opt "seccomp=$here/seccomp.json" "$image" /usr/bin/python3 -s -S -P -c "$(cat <<'PYTHON'
import os, sys

sys.path += ["/opt/deltanas/source", "/opt/deltanas/packages/0"]
import contracts, torch, torchvision

assert os.getuid() == 65534
for folder, _, names in os.walk("/", onerror=lambda error: None):
    for name in names if not folder.startswith(("/proc", "/sys")) else ():
        assert not os.lstat(os.path.join(folder, name)).st_mode & 0o6000, (folder, name)
assert torch.nn.Conv2d(3, 8, 3)(torch.zeros(2, 3, 8, 8)).shape == (2, 8, 6, 6)
print(sys.version.split()[0], torch.__version__, torchvision.__version__, file=sys.stderr)
PYTHON
)"
echo "DELTANAS_GUEST_IMAGE=$image"
