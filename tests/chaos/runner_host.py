"""A host of the farm: `deltanas agent` with a real runner and real sandboxes, and whom one can kill there."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from member import Member
from processes import modules_run_by
from runner_process import RunnerProcess

RUNNER, AGENT = "sandbox_runner", "sandbox_runner.agent"


class RunnerHost(Member):
    """It holds the data set of the specimens, `quadrants`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        gateway_url: str,
        broker_url: str | None,
        token: str,
        within: tuple[str, ...] = (),
    ) -> None:
        settings = {"service_token": token, "agent_heartbeat_seconds": "1"}
        if broker_url is not None:
            settings["broker_url"] = broker_url
        words = ("agent", "--gateway", gateway_url, "--slots", "1", "--id", name)
        super().__init__(name, "deltanas", folder, settings, words, within)
        self._sandboxes = RunnerProcess(self.home)

    def kill_one(self, module: str) -> bool:
        """Whether there was a process of this module to kill; its host starts another one."""
        found = modules_run_by(self.pid).get(module) if self.runs else None
        if found is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(found, signal.SIGKILL)
        return True

    def kill_a_sandbox(self) -> bool:
        """Whether an attempt's sandbox was there to kill: its first process, so that all of it dies."""
        for members in self._working_sandboxes().values():
            with suppress(ProcessLookupError):
                os.kill(min(members), signal.SIGKILL)
                return True
        return False

    def _working_sandboxes(self) -> dict[str, set[int]]:
        """The processes of each attempt's sandbox."""
        runner = modules_run_by(self.pid).get(RUNNER) if self.runs else None
        if runner is None:
            return {}
        self._sandboxes.process = SimpleNamespace(pid=runner)
        with suppress(OSError):
            found = self._sandboxes.sandboxes()
            return {name: members for name, members in found.items() if name.startswith("at-") and members}
        return {}

    def words(self) -> str:
        """The last that it and its services said."""
        logs = sorted((self.home / "logs").glob("*.log"))
        return super().words() + "".join(
            f"\n--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs
        )
