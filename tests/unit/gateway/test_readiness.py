"""What /readyz asks, and that it never waits for ever nor asks too often."""

import threading

from gateway.infra.readiness import Readiness


def test_a_part_that_hangs_is_told_and_not_asked_again_meanwhile():
    hanging, asked = threading.Event(), []

    def probe():
        asked.append(1)
        hanging.wait()
        return []

    readiness = Readiness({"slow": probe, "quick": list}, patience_seconds=0.05, fresh_seconds=0.0)
    for _ in range(3):
        slow, quick = readiness.checks()
        assert "has not answered" in slow.problems[0]
        assert quick.problems == ()
    assert len(asked) == 1
    hanging.set()


def test_a_probe_that_breaks_is_a_problem_of_its_part():
    def broken():
        raise OSError("no such socket")

    (check,) = Readiness({"broker": broken}).checks()
    assert (check.name, check.problems) == ("broker", ("OSError: no such socket",))


def test_an_answer_is_given_again_for_a_moment():
    asked = []
    readiness = Readiness({"part": lambda: asked.append(1) or []}, fresh_seconds=60.0)
    assert readiness.checks() == readiness.checks()
    assert len(asked) == 1


def test_while_one_waits_for_an_answer_others_are_given_the_one_before():
    asked, hold = [], threading.Event()

    def probe():
        asked.append(1)
        if len(asked) > 1:
            hold.wait(20)
        return []

    readiness = Readiness({"part": probe}, patience_seconds=5.0, fresh_seconds=0.0)
    before = readiness.checks()
    waiting = threading.Thread(target=readiness.checks)
    waiting.start()
    while len(asked) < 2:
        pass
    assert readiness.checks() is before
    hold.set()
    waiting.join()


def test_a_database_that_cannot_be_written_is_a_reason_and_the_process_lives(scene, monkeypatch):
    def refused(*_):
        raise OSError("read-only file system")

    monkeypatch.setattr("gateway.routes.operations.move_mark", refused)
    answer = scene.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["OSError: read-only file system"]
    assert answer.json()["checks"]["database"]["ok"] is False
    assert scene.http.get("/healthz").json() == {"status": "ok"}
