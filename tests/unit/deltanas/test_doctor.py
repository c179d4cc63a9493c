"""What `deltanas doctor` makes of what it finds: by part, problem by problem, the remedy apart."""

import http.server
import json
import socketserver
import threading

import pytest

from contracts.names import IsolationTier
from deltanas.cli import docker_checks, gpu_checks, machine_checks
from deltanas.cli.checks import split_problem

NAMESPACES = {"name": "namespaces", "tier": "namespaces"}
RUNC = {"name": "docker+runc", "tier": "docker+runc"}


@pytest.fixture
def doctor(gateway, deltanas):
    """Run it against a gateway whose runner reports these backends."""

    def run(*backends, datasets=(), words=("--json",)):
        reported = {"agents": [{"id": "a", "capabilities": {"backends": list(backends)}}]}
        gateway.answer("GET", "/v1/capabilities", reported)
        gateway.answer("GET", "/v1/datasets", {"items": list(datasets)})
        return deltanas("doctor", *words)

    return run


def named(ended, name):
    return [check for check in ended.json["checks"] if check["name"] == name]


def test_every_problem_of_a_tier_has_its_own_line_and_its_remedy_apart(doctor):
    problems = [
        "bubblewrap is not installed; apt-get install bubblewrap",
        "/sys/fs/cgroup is read-only; is it a container; run as root",
        "the pids limit does not bite",
    ]
    ended = doctor({**NAMESPACES, "available": False, "problems": problems})
    assert ended.code == 3
    found = [(check["found"], check["remedy"]) for check in named(ended, "sandbox namespaces")]
    assert found[:2] == [
        ("bubblewrap is not installed", "apt-get install bubblewrap"),
        ("/sys/fs/cgroup is read-only; is it a container", "run as root"),
    ]
    assert found[2][0] == "the pids limit does not bite"
    assert "operating-sandboxes.md" in found[2][1]
    assert all(check["required"] for check in named(ended, "sandbox namespaces"))


def test_problems_are_shown_to_people_with_what_mends_them(doctor):
    problem = {**NAMESPACES, "available": False, "problems": ["no bwrap; apt-get install bubblewrap"]}
    shown = doctor(problem, words=()).out
    assert "✗  sandbox namespaces" in shown
    assert "→ apt-get install bubblewrap" in shown
    assert "this machine is not ready" in shown


def test_one_backend_that_holds_is_enough_and_the_others_are_hints(doctor):
    weaker = {**NAMESPACES, "available": False, "problems": ["x; y"]}
    ended = doctor({**RUNC, "available": True}, weaker, datasets=[{"name": "mnist", "ready": True}])
    sandboxes = [check for check in ended.json["checks"] if check["name"].startswith("sandbox")]
    assert [(check["passed"], check["required"]) for check in sandboxes] == [(True, False), (False, False)]
    pieces = [check for check in ended.json["checks"] if check["part"] == "namespaces"]
    assert pieces
    assert not any(check["required"] for check in pieces)


def test_folders_that_the_guest_cannot_read_are_named(doctor):
    ended = doctor(
        {
            **NAMESPACES,
            "available": False,
            "problems": ["the guest cannot read its sources; chmod -R a+rX the folders"],
            "details": {"unreadable": "['/srv/x']"},
        }
    )
    assert "['/srv/x']" in named(ended, "sandbox namespaces")[0]["found"]


def test_a_minimum_tier_that_nothing_reaches_is_told(doctor, monkeypatch):
    monkeypatch.setenv("DELTANAS_MINIMUM_TIER", IsolationTier.DOCKER_RUNC.value)
    ended = doctor({**NAMESPACES, "available": True})
    assert ended.code == 3
    assert named(ended, "minimum tier")[0]["found"] == "no tier reaches docker+runc"


def test_a_minimum_tier_that_is_reached_is_not_mentioned(doctor, monkeypatch):
    monkeypatch.setenv("DELTANAS_MINIMUM_TIER", IsolationTier.DOCKER_RUNC.value)
    both = doctor({**NAMESPACES, "available": True}, {**RUNC, "available": True})
    assert named(both, "minimum tier") == []


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("a; b", ("a", "b")),
        ("a; b; c", ("a; b", "c")),
        ("nothing to do", ("nothing to do", "")),
        ("ends in the mark; ", ("ends in the mark;", "")),
        ("a trace\nof; many\nlines", ("a trace\nof; many\nlines", "")),
        ("long; " + "x" * 1000, ("long; " + "x" * 1000, "")),
    ],
)
def test_a_problem_is_split_at_its_last_mark_or_not_at_all(problem, expected):
    assert split_problem(problem) == expected


# --- cgroups and namespaces


@pytest.fixture
def ordinary_user(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.delenv("DELTANAS_CGROUP_ROOT", raising=False)


def test_unified_cgroups_need_their_controllers_and_for_a_user_a_delegated_group(
    tmp_path, monkeypatch, ordinary_user
):
    own = tmp_path / "own"
    own.write_text("0::/user.slice/mine\n")
    group = tmp_path / "user.slice/mine"
    group.mkdir(parents=True)
    controllers = tmp_path / "cgroup.controllers"
    controllers.write_text("memory pids")
    assert "without cpu" in machine_checks._cgroups(tmp_path, own).found
    controllers.write_text("cpu memory pids io")
    missing = machine_checks._cgroups(tmp_path, own)
    assert not missing.passed
    assert missing.remedy.startswith("systemd-run --user --scope")
    (group / "cgroup.subtree_control").touch()
    assert machine_checks._cgroups(tmp_path, own).passed
    monkeypatch.setattr("os.access", lambda *_: False)
    assert not machine_checks._cgroups(tmp_path, own).passed


def test_legacy_cgroups_are_named_when_a_controller_is_missing(tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "cpu").mkdir()
    missing = machine_checks._cgroups(tmp_path)
    assert (missing.passed, missing.found) == (False, "version 1, without pids")
    (tmp_path / "pids").mkdir()
    assert machine_checks._cgroups(tmp_path).passed


@pytest.mark.parametrize(
    ("setting", "value", "passed"),
    [
        ("user/max_user_namespaces", "0", False),
        ("user/max_user_namespaces", "15000", True),
        ("kernel/unprivileged_userns_clone", "0", False),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", False),
        ("kernel/apparmor_restrict_unprivileged_userns", "0", True),
    ],
)
def test_refused_user_namespaces_name_the_setting_that_refuses(
    tmp_path, ordinary_user, setting, value, passed
):
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")
    check = machine_checks._user_namespaces(tmp_path)
    assert check.passed == passed
    if not passed:
        assert setting.replace("/", ".") in check.found
        assert check.remedy.startswith(f"sysctl {setting.replace('/', '.')}=")


def test_landlock_is_never_more_than_a_hint():
    assert not machine_checks._landlock().required


def test_a_landlock_that_sandboxes_do_not_use_is_not_called_sound():
    assert machine_checks._landlock(abi=2).passed
    assert "too old" in machine_checks._landlock(abi=1).found
    assert not machine_checks._landlock(abi=1).passed
    assert not machine_checks._landlock(abi=-1).passed


# --- Docker


class _Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A unix socket that answers as an engine does; `engine[path]` is what it says."""
    answers = {"/version": {"Version": "24.0.1", "ApiVersion": "1.43"}, "/info": {}}

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.path in answers
            body = json.dumps(answers.get(self.path, {"message": "no such image"})).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

    server = _Engine(str(tmp_path / "docker.sock"), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DELTANAS_DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    yield answers
    server.shutdown()
    server.server_close()


ABLE = {
    "MemoryLimit": True, "PidsLimit": True, "CpuCfsQuota": True, "CgroupDriver": "systemd",
    "SecurityOptions": ["name=seccomp,profile=default"], "Runtimes": {"runc": {}, "runsc": {}},
}  # fmt: skip


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """The Docker checks by name; gVisor's program is there or not."""

    def look(runsc="/bin/true"):
        monkeypatch.setattr(docker_checks.shutil, "which", lambda _: runsc)
        home = type("Home", (), {"path": tmp_path})()
        return {check.name: check for check in docker_checks.docker_checks(home)}

    return look


def test_a_missing_engine_names_what_installs_or_starts_it(docker, monkeypatch, tmp_path):
    monkeypatch.setenv("DELTANAS_DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    checks = docker(runsc=None)
    assert not any(check.required for check in checks.values())
    assert "No such file" in checks["engine"].found
    assert "DELTANAS_DOCKER_HOST" in checks["engine"].remedy
    assert (checks["gVisor"].passed, checks["gVisor"].found) == (False, "runsc is not installed")
    assert "docker.launcher" in checks["launcher"].remedy
    monkeypatch.delenv("DELTANAS_DOCKER_HOST")
    monkeypatch.setattr(docker_checks, "_SOCKET", str(tmp_path / "usual.sock"))
    assert docker(runsc=None)["engine"].remedy.startswith("bash deploy/system-packages.sh docker")


def test_an_able_engine_passes(docker, engine):
    engine["/info"] = ABLE
    checks = docker()
    assert checks["engine"].passed
    assert checks["engine"].found == "24.0.1, API 1.43"
    assert checks["engine's limits"].passed
    assert checks["gVisor"].passed
    assert checks["guest image"].passed


def test_each_thing_that_an_engine_lacks_is_told(docker, engine):
    engine["/version"] = {"Version": "19.03", "ApiVersion": "1.40"}
    engine["/info"] = {**ABLE, "PidsLimit": False, "SecurityOptions": None, "Runtimes": {"runc": {}}}
    checks = docker()
    assert "1.41 is needed" in checks["engine"].found
    assert checks["engine's limits"].found == "it cannot limit processes, system calls (seccomp)"
    assert checks["gVisor"].remedy.startswith("runsc install")


def test_a_pinned_image_must_be_an_identifier_that_the_engine_has(docker, engine, monkeypatch):
    engine["/info"] = ABLE
    monkeypatch.setenv("DELTANAS_GUEST_IMAGE", "guest:latest")
    assert "does not pin" in docker()["guest image"].found
    pinned = "sha256:" + "a" * 64
    monkeypatch.setenv("DELTANAS_GUEST_IMAGE", pinned)
    assert not docker()["guest image"].passed
    engine[f"/images/{pinned}/json"] = {"Id": pinned}
    assert docker()["guest image"].passed


# --- GPU


def test_a_machine_without_a_gpu_lacks_nothing(tmp_path):
    assert [check.passed for check in gpu_checks.gpu_checks(tmp_path, tmp_path)] == [True]


def test_a_card_without_its_driver_library_and_toolkit_is_explained(tmp_path, monkeypatch):
    card = tmp_path / "pci/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030200\n")
    monkeypatch.setattr(gpu_checks.shutil, "which", lambda _: None)
    checks = {check.name: check for check in gpu_checks.gpu_checks(tmp_path / "pci", tmp_path)}
    assert not checks["driver"].passed
    assert "nvidia-ctk" in checks["container toolkit"].remedy
    assert not any(check.required for check in checks.values())
    (card / "class").write_text("0x040300\n")
    other = list(gpu_checks.gpu_checks(tmp_path / "pci", tmp_path))
    assert [check.found for check in other] == ["no NVIDIA GPU in this machine"]


def test_a_gpus_driver_that_hangs_does_not_hold_the_doctor_up(tmp_path, monkeypatch):
    stuck = threading.Event()
    monkeypatch.setattr(gpu_checks, "_NVML_SECONDS", 0.05)
    monkeypatch.setattr(gpu_checks, "_ask_nvml", stuck.wait)
    (tmp_path / "driver" / "nvidia").mkdir(parents=True)
    checks = {check.name: check for check in gpu_checks.gpu_checks(tmp_path / "pci", tmp_path)}
    stuck.set()
    assert not checks["NVML"].passed
    assert checks["NVML"].found == "the driver does not answer"


def test_a_card_that_falls_off_the_bus_while_it_is_looked_at_is_no_card(tmp_path):
    (tmp_path / "pci" / "0000:01:00.0").mkdir(parents=True)
    (only,) = gpu_checks.gpu_checks(tmp_path / "pci", tmp_path)
    assert only.found == "no NVIDIA GPU in this machine"
