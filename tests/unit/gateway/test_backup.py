"""A backup of a running search goes on elsewhere to the same end; and no file passes for a backup."""

import io
import json
import tarfile
import threading
from pathlib import Path

import pytest
from search_scene import Scene, accept, request
from sqlalchemy import text

from gateway.infra import archive as archiving
from gateway.infra.archive import ArchiveRefused, write_archive
from gateway.infra.backup import HomeInUse, NothingToSave, restore, save
from gateway.infra.database import Database
from gateway.infra.schema_migrations import migrate

SECRET = "what-was-deleted-long-ago"


def open_home(home):
    home.mkdir(exist_ok=True)
    database = Database(f"sqlite:///{home}/gateway.sqlite3")
    migrate(database)
    return database


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A search half way, its backup, made while others write, and the story of the whole search."""
    folder = tmp_path_factory.mktemp("saved")
    home = folder / "home"
    database = open_home(home)
    scene = Scene(database, accept(database, request()))
    run = scene.run()
    assert not run.advance()
    scene.farm.work(at_most=1)
    with database.write() as session:
        session.execute(text("CREATE TABLE old (what TEXT)"))
        session.execute(text("INSERT INTO old VALUES (:what)"), {"what": SECRET})
    with database.write() as session:
        session.execute(text("DROP TABLE old"))
    pack = home / "datasets" / "my-own"
    (pack / "views" / "v").mkdir(parents=True)
    (home / "datasets" / "mnist").mkdir()
    (home / "adapters" / "ft_1").mkdir(parents=True)
    for path, mode in (
        (pack / "train_images.bin", 0o444),
        (pack / "evaluation_labels.bin", 0o600),
        (pack / "views" / "v" / "x.bin", 0o600),
        (home / "datasets" / "mnist" / "pack.json", 0o600),
        (home / "adapters" / "ft_1" / "adapter.safetensors", 0o600),
    ):
        path.write_bytes(path.name.encode())
        path.chmod(mode)
    (home / "adapters" / "link").symlink_to("/etc/passwd")
    over, writers = threading.Event(), []
    for _ in range(2):
        writers.append(threading.Thread(target=_write, args=(database, over)))
        writers[-1].start()
    try:
        made = save(home, folder / "b.tar.gz")
    finally:
        over.set()
        for writer in writers:
            writer.join()
    scene.finish(run)
    story = scene.story()
    database.close()
    return folder / "b.tar.gz", made, scene.search_id, story


def _write(database, over):
    while not over.is_set():
        with database.write() as session:
            session.execute(text("INSERT OR REPLACE INTO journalled_keys (name, value) VALUES ('noise', '')"))


def test_a_search_saved_half_way_ends_elsewhere_as_it_did_at_home(saved, tmp_path):
    archive, made, search_id, story = saved
    restored = restore(archive, tmp_path / "new")
    assert restored == made
    database = open_home(tmp_path / "new")
    scene = Scene(database, search_id)
    assert scene.store.read(search_id).state == "running"
    scene.finish()
    assert scene.story() == story
    database.close()


def test_what_cannot_be_made_again_is_there_with_its_rights(saved, tmp_path):
    restore(saved[0], tmp_path / "new")
    found = {
        path.relative_to(tmp_path / "new").as_posix(): path.stat().st_mode & 0o777
        for path in (tmp_path / "new").rglob("*")
        if path.is_file()
    }
    assert found == {
        "gateway.sqlite3": 0o600,
        "datasets/my-own/train_images.bin": 0o444,
        "datasets/my-own/evaluation_labels.bin": 0o600,
        "adapters/ft_1/adapter.safetensors": 0o600,
    }


def test_what_was_deleted_does_not_travel(saved, tmp_path):
    restore(saved[0], tmp_path / "new")
    assert SECRET.encode() not in (tmp_path / "new" / "gateway.sqlite3").read_bytes()
    assert saved[0].stat().st_mode & 0o077 == 0


def test_a_home_that_holds_something_is_left_alone(saved, tmp_path):
    (tmp_path / "gateway.sqlite3").write_text("mine")
    with pytest.raises(HomeInUse, match="empty folder"):
        restore(saved[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.sqlite3"]


def test_a_log_of_another_database_is_not_played_into_a_restored_one(saved, tmp_path):
    (tmp_path / "gateway.sqlite3-wal").write_bytes(b"what another one was about to write")
    with pytest.raises(HomeInUse, match="sqlite3-wal"):
        restore(saved[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.sqlite3-wal"]


@pytest.mark.parametrize("meddle", [Path.unlink, lambda path: path.write_bytes(b"x" * 4000)])
def test_a_file_that_goes_or_changes_while_it_is_saved_costs_nobody_the_backup(tmp_path, monkeypatch, meddle):
    home = tmp_path / "home"
    open_home(home).close()
    for name in ("ft_1", "ft_2", "ft_3"):
        (home / "adapters" / name).mkdir(parents=True)
        (home / "adapters" / name / "weights").write_bytes(name.encode() * 1000)
    victim, described = home / "adapters" / "ft_2" / "weights", archiving._described

    def meddled(name, path):
        made = described(name, path)
        if path == victim and len(victim.read_bytes()) == 4000:
            meddle(victim)
        return made

    monkeypatch.setattr(archiving, "_described", meddled)
    save(home, tmp_path / "b.tar.gz")
    restore(tmp_path / "b.tar.gz", tmp_path / "new")
    kept = {path.parent.name for path in (tmp_path / "new" / "adapters").rglob("weights")}
    assert kept == {"ft_1", "ft_3"}


def test_nothing_is_overwritten_and_nothing_is_made_of_nothing(saved, tmp_path):
    with pytest.raises(FileExistsError):
        save(tmp_path, saved[0])
    with pytest.raises(NothingToSave):
        save(tmp_path, tmp_path / "b.tar.gz")
    assert list(tmp_path.iterdir()) == []


def forged(path, names, kind=tarfile.REGTYPE, content=b"x", listed=None):
    """An archive with a manifest that says what is wanted, and members that are something else."""
    files = [
        {"name": name, "size_bytes": 1, "sha256": "0" * 64, "is_public": False} for name in listed or names
    ]
    document = json.dumps({"format": 1, "about": {}, "files": files}).encode()
    with tarfile.open(path, "w:gz") as tar:
        head = tarfile.TarInfo("manifest.json")
        head.size = len(document)
        tar.addfile(head, io.BytesIO(document))
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        {"names": ["../escaped"]},
        {"names": ["/tmp/escaped"]},
        {"names": ["datasets/../../escaped"]},
        {"names": ["datasets/a\x1b[2J"]},
        {"names": ["adapters/a"], "kind": tarfile.SYMTYPE},
        {"names": ["adapters/a"], "kind": tarfile.LNKTYPE},
        {"names": ["adapters/a"], "kind": tarfile.FIFOTYPE},
        {"names": ["adapters/a"], "content": b"xx"},
        {"names": ["adapters/a"]},
        {"names": ["adapters/a"], "listed": ["adapters/b"]},
        {"names": ["adapters/a", "adapters/a"]},
        {"names": [], "listed": ["adapters/a"]},
    ],
)
def test_a_forged_archive_is_refused_and_leaves_nothing(tmp_path, arguments):
    archive = forged(tmp_path / "forged.tar.gz", **arguments)
    with pytest.raises(ArchiveRefused):
        restore(archive, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forged.tar.gz", "new"]
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + bytes(50)])
def test_any_other_file_is_refused_in_words(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ArchiveRefused):
        restore(tmp_path / "file", tmp_path / "new")


def test_an_archive_cut_short_is_refused(saved, tmp_path):
    whole = saved[0].read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveRefused):
        restore(tmp_path / "cut", tmp_path / "new")


def test_an_archive_without_a_database_is_files_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    write_archive(tmp_path / "b.tar.gz", {"adapters/ft_1/a": tmp_path / "a"}, {})
    assert restore(tmp_path / "b.tar.gz", tmp_path / "new").files == 1
    assert (tmp_path / "new" / "adapters" / "ft_1" / "a").read_bytes() == b"1"
