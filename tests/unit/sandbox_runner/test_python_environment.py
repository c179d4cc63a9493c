import re
import sys
from dataclasses import replace
from pathlib import Path

from contracts.measurements import Limits
from sandbox_runner import python_environment
from sandbox_runner.sandboxes.port import ReadOnlyMount


def test_guest_sees_its_packages_and_sources():
    spec = python_environment.guest_spec("attempt-1", Limits(), 2)
    inside = {mount.inside: mount.host for mount in python_environment.guest_mounts()}
    assert (inside["/opt/deltanas/packages/0/torch"] / "__init__.py").is_file()
    assert (inside["/opt/deltanas/source/contracts"] / "guest_wire.py").is_file()
    assert (inside["/opt/deltanas/source/sandbox_runner/guest"] / "__main__.py").is_file()
    assert spec.environment["OMP_NUM_THREADS"] == "2"
    assert spec.environment["PYTHONHASHSEED"] == "0"


def test_guest_sees_nothing_else_of_the_source():
    mounts = python_environment.guest_mounts()
    inside = [mount.inside for mount in mounts if mount.inside.startswith("/opt/deltanas/source")]
    assert len(inside) == 2


def test_data_sets_of_the_system_are_not_mounted():
    hosts = [mount.host for mount in python_environment.interpreter_mounts()]
    assert not any(Path("/usr/share/datasets").is_relative_to(host) for host in hosts)


def test_interpreter_lies_within_its_mounts():
    interpreter = Path(python_environment.interpreter())
    assert not interpreter.is_symlink()
    assert any(interpreter.is_relative_to(mount.host) for mount in python_environment.interpreter_mounts())


def test_of_a_private_interpreter_only_program_and_libraries_are_mounted(tmp_path, monkeypatch):
    program, library = tmp_path / "bin" / "python3", tmp_path / "lib" / "libpython3.so.1"
    for path in (program, library, tmp_path / "bin" / "deploy", tmp_path / "lib" / "application" / "key"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(python_environment, "interpreter", lambda: str(program))
    own = [m.host for m in python_environment.interpreter_mounts() if m.host.is_relative_to(tmp_path)]
    assert own == [program, library]


def test_applications_among_the_system_libraries_are_not_mounted(tmp_path, monkeypatch):
    monkeypatch.setattr(python_environment, "SYSTEM_LIBRARIES", tmp_path)
    monkeypatch.setattr(python_environment.sysconfig, "get_config_var", lambda _: "x86_64-linux-gnu")
    (tmp_path / "application").mkdir()
    assert tmp_path in [mount.host for mount in python_environment.interpreter_mounts()]
    (tmp_path / "x86_64-linux-gnu").mkdir()
    own = [m.host for m in python_environment.interpreter_mounts() if m.host.is_relative_to(tmp_path)]
    assert own == [tmp_path / "x86_64-linux-gnu"]


def test_installed_packages_are_hidden_wherever_they_lie_or_are_linked_from(tmp_path, monkeypatch):
    library = tmp_path / "lib"
    for inside in ("python3.11/site-packages", "python3/dist-packages", "node_modules", "R/site-library"):
        (library / inside).mkdir(parents=True)
    (library / "python3.12").mkdir()
    (library / "kept-elsewhere").mkdir()
    (library / "python3.12" / "site-packages").symlink_to(library / "kept-elsewhere")
    (tmp_path / "unseen").mkdir()
    (library / "pypy3").mkdir()
    (library / "pypy3" / "site-packages").symlink_to(tmp_path / "unseen")
    mount = ReadOnlyMount(library, str(library))
    monkeypatch.setattr(python_environment, "interpreter_mounts", lambda: (mount,))
    hidden = {str(folder.relative_to(library)) for folder in python_environment.hidden_folders()}
    assert hidden == {
        "python3.11/site-packages",
        "python3/dist-packages",
        "node_modules",
        "R/site-library",
        "kept-elsewhere",
    }


def test_search_path_is_fixed_in_the_command():
    spec = python_environment.guest_spec("attempt-1", Limits(), 1)
    assert spec.argv[1:5] == ("-s", "-S", "-P", "-c")
    assert "sys.path[:] =" in spec.argv[-1]


def test_digest_follows_versions_variables_and_guest_source(tmp_path, monkeypatch):
    def digest():
        python_environment.environment_digest.cache_clear()
        return python_environment.environment_digest()

    (tmp_path / "guest").mkdir()
    source = tmp_path / "guest" / "recipe.py"
    source.write_text("epochs = 1")
    monkeypatch.setattr(python_environment, "_SOURCES", tmp_path)
    monkeypatch.setattr(python_environment, "_GUEST_SOURCES", (tmp_path / "guest",))
    digests = [digest(), digest()]
    source.write_text("epochs = 2")
    digests.append(digest())
    monkeypatch.setattr(sys, "version", "3.99")
    digests.append(digest())
    monkeypatch.setattr(python_environment, "KEPT_MEMORY", {})
    digests.append(digest())
    python_environment.environment_digest.cache_clear()
    assert re.fullmatch(r"[0-9a-f]{64}", digests[0])
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_digest_of_the_sources_follows_the_sources_alone(tmp_path, monkeypatch):
    (tmp_path / "guest").mkdir()
    monkeypatch.setattr(python_environment, "_SOURCES", tmp_path)
    monkeypatch.setattr(python_environment, "_GUEST_SOURCES", (tmp_path / "guest",))
    digests = [python_environment.sources_digest()]
    (tmp_path / "guest" / "recipe.pyc").write_text("what Python leaves behind")
    digests.append(python_environment.sources_digest())
    (tmp_path / "guest" / "recipe.py").write_text("epochs = 1")
    monkeypatch.setattr(sys, "version", "3.99")
    digests.append(python_environment.sources_digest())
    (tmp_path / "guest" / "recipe.py").rename(tmp_path / "guest" / "transforms.py")
    digests.append(python_environment.sources_digest())
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_limits_reach_the_spec_and_the_guest_has_memory_of_its_own():
    limits = replace(Limits(), pids=17)
    allowed = python_environment.guest_spec("attempt-1", limits, 1).limits
    assert allowed == replace(
        limits, memory_bytes=limits.memory_bytes + python_environment.GUEST_MEMORY_BYTES
    )
