"""The image that containers are made of, by its digest alone.

Without a setting it is an image of almost nothing, composed here byte for byte: what a guest runs is mounted
read-only from the host, installed once and never copied. Its id, the SHA-256 of its configuration, is known
before an engine has seen it. With DELTANAS_GUEST_IMAGE it is a complete image that the operator has built.
"""

import hashlib
import io
import json
import platform
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.sandboxes.bubblewrap import SYSTEM_LINKS

REFERENCE = re.compile(r"sha256:[0-9a-f]{64}")
SANDBOX_USERS = range(60_800, 60_984)
"""User ids that no distribution gives to anyone, one for each running container of an engine."""
KEEPER_USER = 60_999
"""Process 1 of every container: nobody's either, and no guest's."""
CREATED = "2026-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImageRefused(Exception):
    """The setting does not pin an image. The text says what would."""


@dataclass(frozen=True)
class GuestImage:
    """An image that is pinned, and what an engine that lacks it can load."""

    identifier: str
    archive: bytes | None
    """For `docker load`; None where the operator has built the image."""

    @property
    def is_complete(self) -> bool:
        """Whether interpreter, packages and sources are in it, so that nothing of the host is mounted."""
        return self.archive is None


def find_image(reference: str | None) -> GuestImage:
    """The image of this setting, or our own. Raises ImageRefused for anything but a digest."""
    if not reference:
        return compose_image(system_links())
    if not REFERENCE.fullmatch(reference):
        raise ImageRefused(
            f"DELTANAS_GUEST_IMAGE={reference!a} does not pin an image: give its id, sha256:… of 64 digits "
            "(docker image inspect --format '{{.Id}}' NAME)"
        )
    return GuestImage(reference, None)


def system_links() -> dict[str, str]:
    """The links from / into /usr, where the distribution has merged it."""
    links = {name: Path("/") / name for name in SYSTEM_LINKS}
    return {name: str(path.readlink()) for name, path in links.items() if path.is_symlink()}


def compose_image(links: Mapping[str, str]) -> GuestImage:
    """An image with these links and the names of the sandboxes' users. The same bytes for the same links."""
    passwd = "".join(f"candidate:x:{user}:{user}::/tmp:/usr/sbin/nologin\n" for user in SANDBOX_USERS)
    group = "".join(f"candidate:x:{user}:\n" for user in SANDBOX_USERS)
    layer = _archive(
        [
            _folder("etc"),
            _file("etc/passwd", passwd.encode()),
            _file("etc/group", group.encode()),
            *(_link(name, target) for name, target in sorted(links.items())),
        ]
    )
    configuration = _json(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": CREATED,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created": CREATED, "created_by": "deltanas"}],
        }
    )
    digest = hashlib.sha256(configuration).hexdigest()
    manifest = _json([{"Config": f"{digest}.json", "RepoTags": None, "Layers": ["layer.tar"]}])
    archive = _archive(
        [
            _file("layer.tar", layer),
            _file(f"{digest}.json", configuration),
            _file("manifest.json", manifest),
        ]
    )
    return GuestImage(f"sha256:{digest}", archive)


_Entry = tuple[tarfile.TarInfo, bytes]


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _archive(entries: list[_Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _folder(name: str) -> _Entry:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry, b""


def _file(name: str, content: bytes) -> _Entry:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o444
    return entry, content


def _link(name: str, target: str) -> _Entry:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    return entry, b""
