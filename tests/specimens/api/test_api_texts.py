"""Text that attacks whoever looks at it: in logs, on pages, on a terminal."""

import os
import pty
import subprocess
from pathlib import Path

import pytest
from api_target import Target
from live_server import DATASET, DELTANAS, Server
from sample_networks import LINEAR

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

HOSTILE = "<img src=x onerror=alert(1)>{{7*7}}\x1b]0;owned\x07\x1b[2J\u202e"
RAISING = f"{LINEAR}\nprint({HOSTILE!r}, flush=True)\nraise ValueError({HOSTILE!r})\n"


def _harmless_page(text: str) -> None:
    assert "<img src=x" not in text
    assert "<script" not in text
    assert "49" not in text.split("onerror=alert(1)", 1)[-1][:20]
    _harmless_terminal(text)


def _harmless_terminal(text: str) -> None:
    for forbidden in ("\x1b]", "\x1b[2J", "\x07", "\u202e"):
        assert forbidden not in text


def test_text_of_a_candidate_is_escaped_in_logs_on_pages_and_on_the_terminal(
    target: Target, tmp_path: Path
) -> None:
    made = target.submit(source=RAISING)
    ended = target.ended(made)
    assert ended["failure"]["reason"] == "build_error"
    log = target.log(made)
    assert "onerror" in log
    for text in (log, ended["failure"]["message"]):
        _harmless_terminal(text)
    page = target.http.get("/")
    assert made in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    _harmless_page(page.text)
    file = tmp_path / "raising.py"
    file.write_text(RAISING)
    shown = target.server.cli("evaluate", str(file), "--dataset", DATASET)
    assert shown.returncode == 1
    assert "onerror" in shown.stdout + shown.stderr
    _harmless_terminal(shown.stdout + shown.stderr)


def _on_a_terminal(server: Server, *words: str) -> str:
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen([DELTANAS, *words], env=server.environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    printed = b""
    try:
        while chunk := os.read(ours, 65_536):
            printed += chunk
    except OSError:  # a terminal whose other end is closed
        pass
    finally:
        os.close(ours)
    assert command.wait(timeout=60) == 0, printed
    return printed.decode()


def test_text_of_a_delta_is_escaped_on_the_terminal(target: Target, tmp_path: Path) -> None:
    base, delta = tmp_path / "base.py", tmp_path / "delta.diff"
    base.write_text(LINEAR)
    delta.write_text(f"--- a\n+++ b\n@@ -1 +1 @@\n-{HOSTILE}\n+{HOSTILE}\n")
    shown = target.server.cli("delta", "apply", str(base), str(delta))
    assert shown.returncode == 1
    _harmless_terminal(shown.stdout + shown.stderr)
    delta.write_text(
        f"--- a\n+++ b\n@@ -2,1 +2,2 @@\n import torch.nn as nn\n+note = {HOSTILE!r}  # \u202e\n"
    )
    printed = _on_a_terminal(target.server, "delta", "apply", str(base), str(delta))
    assert "note" in printed
    _harmless_terminal(printed)


def test_a_name_is_escaped_on_every_page(target: Target) -> None:
    name = "<img src=x onerror=alert(1)>{{7*7}}${7*7}"
    body = {"dataset": DATASET, "name": name, "minimum_tier": "docker+runsc", "cycles": 1}
    made = target.http.post("/v1/searches", json=body)
    assert made.status_code == 202, made.text
    search = made.json()["id"]
    for path in ("/", f"/v1/searches/{search}/report"):
        page = target.http.get(path)
        assert "onerror" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        _harmless_page(page.text)
    shown = target.server.cli("search", "list")
    assert "onerror" in shown.stdout
    assert target.http.post(f"/v1/searches/{search}:cancel").json()["state"] == "cancelled"
