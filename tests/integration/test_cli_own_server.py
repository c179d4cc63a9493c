"""Commands where no server runs: they start one for their own time, share it, and it ends with them."""

import pytest
from processes import until
from up_process import Home

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def owner(home):
    """Whether a server owns the home."""
    probe = home.run("up", "--host", "0.0.0.0")
    return "already runs" in probe.stderr


def test_two_commands_at_once_share_one_server_that_ends_after_them(tmp_path):
    home = Home(tmp_path)
    commands = [home.start("baselines", "list", "--json"), home.start("baselines", "show", "residual")]
    outputs = [command.communicate(timeout=90)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], outputs
    assert '"residual"' in outputs[0]
    assert "class Net" in outputs[1]
    until(lambda: not owner(home), 20, "the server ended after its last user")
    supervisor = (tmp_path / "logs" / "supervisor.log").read_text()
    assert "Traceback" not in supervisor


@pytest.mark.full
def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path):
    home = Home(tmp_path / ("long" * 30))
    shown = home.run("baselines", "show", "residual")
    assert shown.returncode == 0, shown.stderr
    assert "class Net" in shown.stdout


def test_a_server_that_cannot_start_is_reported_with_its_last_words(tmp_path):
    home = Home(tmp_path / "home")
    home.path.mkdir()
    (home.path / "gateway.sqlite3").mkdir()
    refused = home.run("baselines", "list")
    assert refused.returncode == 3
    assert "gateway does not start" in refused.stderr
    assert "gateway.log" in refused.stderr
