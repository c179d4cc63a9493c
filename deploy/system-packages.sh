#!/usr/bin/env bash
# The Debian and Ubuntu packages that deltanas stands on, and those named as arguments; does nothing when all are there.
#   bubblewrap             starts the sandboxes
#   libseccomp2            compiles their system-call filter
#   dataset-fashion-mnist  Fashion-MNIST, 31 MB, MIT licence
#   python3-venv           only where this Python cannot make a virtual environment yet
# The argument `postgresql` is the database server that the tests start, and that a farm may use.
# The argument `redis` is the broker (redis-server) that the tests start, and that a farm may use.
# The argument `docker` stands for what the Docker tiers need (docs/operating-sandboxes.md):
#   docker.io              Docker Engine, unless one is installed already
#   debootstrap            makes the guest image's base without a registry
#   runsc                  gVisor, where a repository has a release of October 2023 or later. Debian 12's own is older,
#                          so for this argument alone bookworm-backports is added to apt's sources: apt takes from it
#                          what it is told to and nothing else.
# The argument `compose` is Docker Compose 2, for deploy/compose.yaml. Debian 12's own is 1.29, which cannot read it, so
# there the package of Debian 13 is installed, which wants a libc that Debian 12 has; apt's sources stay as they are.
set -euo pipefail

oldest_runsc='0.0~20231001'
bookworm_backports=/etc/apt/sources.list.d/deltanas-bookworm-backports.sources

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
is_fit_runsc() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$oldest_runsc"; }
# Where this machine gets its release from: the backports lie beside it.
apt_mirror() { apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^bookworm //p' | head -1; }
has_compose() { docker compose version --short 2>/dev/null | grep -qE '^v?[2-9]'; }
offered_runsc() { apt-cache policy runsc | sed -n 's/^  Candidate: //p' | grep -v none; }

wanted=(bubblewrap libseccomp2 dataset-fashion-mnist)
want_runsc=''
want_compose=''
for each in "$@"; do
    if [ "$each" = compose ]; then
        has_compose || want_compose=yes
        continue
    fi
    if [ "$each" = redis ]; then
        wanted+=(redis-server)
        continue
    fi
    if [ "$each" != docker ]; then
        wanted+=("$each")
        continue
    fi
    wanted+=(debootstrap)
    command -v dockerd >/dev/null || wanted+=(docker.io)
    if is_installed runsc; then
        is_fit_runsc "$(dpkg-query -W -f='${Version}' runsc)" || want_runsc=yes
    else
        command -v runsc >/dev/null || want_runsc=yes
    fi
done
python3 -c 'import ensurepip' 2>/dev/null || wanted+=(python3-venv)
missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && [ -z "$want_runsc" ] && [ -z "$want_compose" ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null; then
    as_root=(sudo)
else
    missing+=(${want_runsc:+runsc} ${want_compose:+docker-compose})
    echo "Missing: ${missing[*]}. As root, run: apt-get install ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
install() { "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
"${as_root[@]}" apt-get update -qq
[ ${#missing[@]} -eq 0 ] || install "${missing[@]}"

if [ -n "$want_compose" ]; then
    if apt-cache policy docker-compose | grep -qE 'Candidate: [2-9]'; then
        install docker-compose
    elif grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release; then
        folder=$(mktemp -d --tmpdir deltanas-compose.XXXXXX)
        trap 'rm -rf "$folder"' EXIT # an apt that fails ends this script
        chmod 0755 "$folder" # for apt's own user
        mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
        printf '%s\n' 'Types: deb' "URIs: $(apt_mirror)" 'Suites: trixie' 'Components: main' \
            'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' >"$folder/trixie.sources"
        trixie=(-o "Dir::Etc::sourcelist=$folder/trixie.sources" -o Dir::Etc::sourceparts=/dev/null
            -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache")
        apt-get "${trixie[@]}" update -qq
        (cd "$folder" && apt-get "${trixie[@]}" -qq download docker-compose 2>/dev/null)
        install "$folder"/docker-compose_*.deb
    fi
    if ! has_compose; then
        echo "Docker Compose 2 is missing: deploy/compose.yaml cannot be used with what is here." >&2
        echo "https://docs.docker.com/compose/install says how to install it by hand." >&2
    fi
fi

[ -n "$want_runsc" ] || exit 0

if ! is_fit_runsc "$(offered_runsc)" && grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release; then
    if ! grep -rqs bookworm-backports /etc/apt/sources.list /etc/apt/sources.list.d; then
        printf '%s\n' 'Types: deb' "URIs: $(apt_mirror)" 'Suites: bookworm-backports' 'Components: main' \
            'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' \
            | "${as_root[@]}" tee "$bookworm_backports" >/dev/null
        "${as_root[@]}" apt-get update -qq
    fi
    install -t bookworm-backports runsc
elif is_fit_runsc "$(offered_runsc)"; then
    install runsc
fi
if ! is_installed runsc || ! is_fit_runsc "$(dpkg-query -W -f='${Version}' runsc)"; then
    echo "No repository offers runsc of October 2023 or later: the tier docker+runsc stays unavailable here." >&2
    echo "https://gvisor.dev/docs/user_guide/install says how to install it by hand." >&2
fi
