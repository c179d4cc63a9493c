"""Attack the sandboxes of this machine: `python -m sandbox_runner.specimens`, which `deltanas attack` starts.

It says what happens as one JSON document a line; whoever started it shows that to people. Exit codes: 0 every
sandbox held, 1 a specimen got through or left something, 2 no such backend or specimen, 3 a sandbox could
not be tested: none is ready, or not one that was named.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from contracts.names import IsolationTier
from sandbox_runner.sandboxes.choice import built_in, probe_all, reports
from sandbox_runner.sandboxes.docker.settings import LauncherSettings
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
from sandbox_runner.sandboxes.port import SandboxBackend
from sandbox_runner.specimens.arena import Arena, ArenaUnfit, Trial, rounds_of
from sandbox_runner.specimens.catalogue import SECTIONS, SPECIMENS
from sandbox_runner.specimens.judgement import expectation_words, outcome_words
from sandbox_runner.specimens.specimen import Specimen
from sandbox_runner.specimens.surroundings import Outpost, amounts

STATE = "state"
FORK_SECONDS = 60.0
"""Until a fork server has imported and is proved; if it is not by then, sandboxes wait for work instead."""


class ExitCode(IntEnum):
    """What whoever started it gets."""

    HELD = 0
    NOT_HELD = 1
    BAD_USAGE = 2
    NOT_TESTED = 3


def main(words: Sequence[str] | None = None) -> int:
    """Attack, and say everything on standard output."""
    wanted = _arguments(words)
    specimens = [one for one in SPECIMENS if fnmatchcase(one.name, wanted.only)]
    if not specimens:
        return _refuse(f"no specimen is called {wanted.only!r}; docs/attacks.md lists them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.NOT_TESTED))  # so that everything is closed
    # The sandbox's own user must reach what it is shown: only the sandbox keeps it from the rest.
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="deltanas-attack-") as folder:
        backends = built_in(Path(folder) / STATE, LauncherSettings().launcher_socket)
        try:
            return _attack(backends, specimens, wanted, Path(folder))
        finally:
            for backend in backends:
                backend.close()


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox_runner.specimens")
    parser.add_argument("--backend", action="append", default=[])
    parser.add_argument("--only", default="*")
    parser.add_argument("--cold", action="store_true")
    return parser.parse_args(words)


def _attack(
    backends: Sequence[SandboxBackend], specimens: list[Specimen], wanted: argparse.Namespace, folder: Path
) -> int:
    known = {backend.name for backend in backends} | {tier.value for tier in IsolationTier}
    unknown = sorted(set(wanted.backend) - known)
    if unknown:
        return _refuse(f"no backend is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    probed = probe_all([one for one in backends if not wanted.backend or one.name in wanted.backend])
    told = [one for one in reports(probed) if not wanted.backend or one.name in wanted.backend]
    fit = [one.backend for one in probed if one.report.available]
    _say("begun", backends=[asdict(one) for one in told])
    held = [_attack_one(backend, specimens, wanted.cold, folder / backend.name) for backend in fit]
    if False in held:
        return ExitCode.NOT_HELD
    asked_in_vain = any(not one.available for one in told) and bool(wanted.backend)
    return ExitCode.NOT_TESTED if None in held or not fit or asked_in_vain else ExitCode.HELD


def _attack_one(backend: SandboxBackend, specimens: list[Specimen], cold: bool, folder: Path) -> bool | None:
    """Whether this backend's sandboxes held; None when it is not fit to be tested."""
    folder.mkdir()
    held = True
    try:
        with (
            _starting(backend, cold, folder / "sandboxes") as (chosen, pooled),
            Arena(
                folder, chosen, warm=pooled, state=folder.parent / STATE, outpost=_outpost_of(backend)
            ) as arena,
        ):
            runnable = [one for one in specimens if one.device in arena.devices]
            _say(
                "opened",
                backend=backend.name,
                accuracy=arena.scores.honest,
                specimens=len(runnable),
                untested=[one.name for one in specimens if one not in runnable],
            )
            for beside in rounds_of(runnable, SPECIMENS):
                trials = arena.run_round(
                    beside, lambda one: _say("started", backend=backend.name, specimen=one.name)
                )
                for trial in trials:
                    _say("trial", backend=backend.name, **_told(trial, backend.tier))
                    held = held and trial.held
            aftermath = arena.finish()
            accounting = {
                label: {"before": before, "after": amounts(arena.now)[label]}
                for label, before in amounts(arena.before).items()
            }
            _say("ended", backend=backend.name, accounting=accounting, aftermath=aftermath)
            return held and not aftermath if runnable else None
    except ArenaUnfit as unfit:
        _say("unfit", backend=backend.name, detail=str(unfit))
        return None


@contextmanager
def _starting(backend: SandboxBackend, cold: bool, folder: Path) -> Iterator[tuple[SandboxBackend, bool]]:
    """What starts sandboxes as is wanted, and whether some of them have to wait for work for that."""
    if not isinstance(backend, ForkingBackend):
        yield backend, not cold
    elif cold:
        with closing(NamespacesBackend(folder)) as anew:
            yield anew, False
    else:
        yield backend, not backend.wait_until_forking(FORK_SECONDS)


def _outpost_of(backend: SandboxBackend) -> Outpost | None:
    """Where else a Docker tier keeps things: as the settings of the launcher say."""
    if backend.tier is IsolationTier.NAMESPACES:
        return None
    settings = LauncherSettings()
    return Outpost(settings.socket, settings.home, Path(settings.docker_host.removeprefix("unix://")))


def _told(trial: Trial, tier: IsolationTier) -> dict[str, Any]:
    specimen = trial.specimen
    failure = trial.outcome.failure
    return {
        "specimen": specimen.name,
        "section": next(
            section.title for section in SECTIONS if specimen.name in {one.name for one in section.specimens}
        ),
        "attack": specimen.attack,
        "expected": expectation_words(specimen.expected_on(tier)),
        "got": outcome_words(trial.outcome),
        "message": failure.message if failure else "",
        "seconds": round(trial.seconds, 2),
        "held": trial.held,
        "shortcomings": trial.shortcomings,
        "aftermath": trial.aftermath,
    }


def _refuse(detail: str) -> int:
    _say("refused", detail=detail)
    return ExitCode.BAD_USAGE


def _say(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


if __name__ == "__main__":
    code = main()
    _say("verdict", code=code)  # told apart from Python's own exit code for what nobody has foreseen
    sys.exit(code)
