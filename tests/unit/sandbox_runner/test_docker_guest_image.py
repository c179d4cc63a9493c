"""The image is pinned by its digest, which is known before an engine has seen it."""

import hashlib
import io
import json
import tarfile

import pytest

from sandbox_runner.sandboxes.docker.guest_image import (
    SANDBOX_USERS,
    ImageRefused,
    compose_image,
    find_image,
)

LINKS = {"lib": "usr/lib", "bin": "usr/bin"}


def unpack(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened if entry.isfile()}


def test_same_content_has_the_same_digest_and_other_content_another():
    assert compose_image(LINKS) == compose_image(dict(reversed(LINKS.items())))
    assert compose_image(LINKS).identifier != compose_image({}).identifier


def test_identifier_is_the_digest_of_the_configuration_and_covers_the_layer():
    image = compose_image(LINKS)
    files = unpack(image.archive)
    digest = image.identifier.removeprefix("sha256:")
    assert hashlib.sha256(files[f"{digest}.json"]).hexdigest() == digest
    layers = json.loads(files[f"{digest}.json"])["rootfs"]["diff_ids"]
    assert layers == [f"sha256:{hashlib.sha256(files['layer.tar']).hexdigest()}"]


def test_image_holds_links_and_names_and_no_program():
    layer = unpack(compose_image(LINKS).archive)["layer.tar"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as opened:
        entries = {entry.name: entry for entry in opened}
    assert set(entries) == {"etc", "etc/passwd", "etc/group", "lib", "bin"}
    assert entries["bin"].linkname == "usr/bin"
    names = unpack(layer)["etc/passwd"].decode().splitlines()
    assert [int(line.split(":")[2]) for line in names] == list(SANDBOX_USERS)


def test_digest_pins_an_image_of_the_operator():
    reference = "sha256:" + "0" * 64
    image = find_image(reference)
    assert image.identifier == reference
    assert image.is_complete


@pytest.mark.parametrize("reference", ["python", "python:3.11", "sha256:abc", "deltanas@sha256:" + "0" * 64])
def test_anything_but_a_digest_is_refused(reference):
    with pytest.raises(ImageRefused, match="does not pin"):
        find_image(reference)


@pytest.mark.parametrize("reference", [None, ""])
def test_without_a_setting_the_image_is_our_own(reference):
    assert not find_image(reference).is_complete
