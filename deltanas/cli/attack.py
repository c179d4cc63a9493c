"""`deltanas attack`: hostile candidates against the sandboxes of this very machine.

The specimens run in a process of the sandbox runner's, with the environment that a runner has; it tells
what happens, one JSON document a line, and this module shows it.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from deltanas.cli.checks import split_problem
from deltanas.cli.output import (
    JsonOption,
    cell,
    emit,
    news_console,
    percent,
    plain,
    result_console,
    table,
    tell,
)
from deltanas.errors import PlatformFailed, RequestInvalid
from deltanas.services import make_run_folder, services_of_one_machine

Json = dict[str, Any]

Backends = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Attack this backend; several may be named.")
]
Only = Annotated[str, typer.Option(metavar="GLOB", help="Only specimens of such a name, as in 'fills_*'.")]
Cold = Annotated[bool, typer.Option("--cold", help="Start every sandbox anew; none waits for its work.")]

_ATTACKERS = "sandbox_runner.specimens"
_END_SECONDS = 20.0
_LAST_WORDS_BYTES = 4000
_MOST_TOLD = 3
"""Specimens that are told about while they run."""


def attack(
    backend: Backends = None, only: Only = "*", cold: Cold = False, as_json: JsonOption = False
) -> None:
    """Attack the sandboxes of this machine with hostile candidates.

    Each specimen must fail for the right reason, or earn no more than its true
    score. An honest network beside it and after it must score as ever, and
    nothing may be left: no process, file, mount, cgroup or container.

    Exit codes: 0 every sandbox held, 1 one did not, 3 none could be tested, or
    not one that was named. docs/attacks.md lists the attacks.
    """
    words = [*(f"--backend={name}" for name in backend or []), f"--only={only}", *["--cold"] * cold]
    with _Story(quiet=as_json) as story:
        _attack(words, story.hear)
    if as_json:
        emit({"held": story.code == 0, "backends": story.backends})
    else:
        _show(story)
    raise typer.Exit(story.code)


def _attack(words: list[str], hear: Callable[[Json], None]) -> None:
    """Run the attackers to their end. Raises RequestInvalid when they refuse `words`, PlatformFailed."""
    with tempfile.TemporaryDirectory(prefix="deltanas-attack-") as folder, ExitStack() as running:
        home = Path(folder)
        parts = services_of_one_machine(home, make_run_folder(home), "")
        services = {service.name: service for service in parts}
        # As on a machine that serves, a launcher starts the containers; the attackers count what is left.
        launcher, runner = services["launcher"], services["runner"]
        running.enter_context(_started(launcher.module, launcher.environment, []))
        environment = {**launcher.environment, **runner.environment}
        news, attackers = running.enter_context(_started(_ATTACKERS, environment, words))
        told: Json = {}
        for line in attackers.stdout or ():
            told = json.loads(line)
            hear(told)
        if told.get("event") != "verdict":
            attackers.wait()
            news.seek(0)
            last_words = news.read()[-_LAST_WORDS_BYTES:].decode("utf-8", "replace").strip()
            raise PlatformFailed(f"the attack itself failed:\n{last_words}")


@contextmanager
def _started(
    module: str, environment: Mapping[str, str], words: list[str]
) -> Iterator[tuple[IO[bytes], "subprocess.Popen[str]"]]:
    """A process that is ended at the end, with what it says on standard error."""
    with tempfile.TemporaryFile() as news:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=news,
            text=True,
        )
        try:
            yield news, process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Let it close its sandboxes; the kernel ends them in any case once it is gone."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


class _Story:
    """What has happened so far, and a bar that shows it on a terminal. A context manager."""

    def __init__(self, quiet: bool) -> None:
        self.backends: list[Json] = []
        self.code = 3
        self._quiet = quiet
        self._console = news_console()
        self._running: list[str] = []
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("probing the sandboxes of this machine", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def hear(self, told: Json) -> None:
        """One thing that happened. Raises RequestInvalid."""
        match told["event"]:
            case "refused":
                raise RequestInvalid(plain(told["detail"]))
            case "begun":
                self.backends = told["backends"]
            case "opened":
                self._of(told).update(accuracy=told["accuracy"], untested=told["untested"], trials=[])
                self._bar.reset(self._task, total=told["specimens"], description=told["backend"])
                if not (self._quiet or self._console.is_terminal):
                    tell(f"{told['backend']}: {told['specimens']} specimens")
            case "started":
                self._running.append(told["specimen"])
                self._describe(told["backend"])
            case "trial":
                self._of(told)["trials"].append(
                    {key: value for key, value in told.items() if key not in {"event", "backend"}}
                )
                self._running.remove(told["specimen"])
                self._bar.advance(self._task)
                self._describe(told["backend"])
                if not (told["held"] or self._quiet):
                    self._console.print(Text(f"✗ {told['specimen']} on {told['backend']}", style="bold red"))
            case "ended":
                self._of(told).update(accounting=told["accounting"], aftermath=told["aftermath"])
            case "unfit":
                self._of(told)["problems"] = [told["detail"]]
            case "verdict":
                self.code = told["code"]

    def _of(self, told: Json) -> Json:
        return next(backend for backend in self.backends if backend["name"] == told["backend"])

    def _describe(self, backend: str) -> None:
        running = ", ".join(self._running[:_MOST_TOLD])
        self._bar.update(self._task, description=plain(f"{backend}  {running}"))


def _show(story: _Story) -> None:
    tested = [backend for backend in story.backends if "accounting" in backend]
    for backend in tested:
        _show_trials(backend)
        _show_accounting(backend)
    console = result_console()
    for backend in tested:
        amiss = sum(not trial["held"] for trial in backend["trials"]) + bool(backend["aftermath"])
        ran = len(backend["trials"])
        if amiss:
            words = f"{backend['name']} did not hold: {amiss} of {ran} specimens are not as they must be"
        else:
            words = f"{backend['name']} held: {ran} specimens came to what they must, and nothing was left"
        console.print(Text(words, style="bold red" if amiss else "bold green"))
    for backend in story.backends:
        if backend not in tested:
            console.print(Text(f"not tested: {backend['name']}", style="yellow"))
            for found, remedy in map(split_problem, backend["problems"]):
                console.print(Text(f"  {plain(found)}"))
                if remedy:
                    console.print(Text(f"  → {plain(remedy)}", style="bold"))
    untested = [set(backend["untested"]) for backend in tested]
    if names := set.intersection(*untested) if untested else set():
        words = f"not tested, for want of a GPU: {plain(', '.join(sorted(names)))}"
        console.print(Text(words, style="yellow"))
    if not tested:
        console.print(Text("nothing was tested; `deltanas doctor` says what is missing", style="bold red"))


def _show_trials(backend: Json) -> None:
    shown = table("", "specimen", "must come to", "came to", "seconds", right=("seconds",))
    shown.columns[0].min_width = None
    section = ""
    for trial in backend["trials"]:
        if trial["section"] != section:
            section = trial["section"]
            shown.add_row("", Text(section, style="bold"))
        mark = Text("✓", style="green") if trial["held"] else Text("✗", style="bold red")
        came_to = cell(trial["got"], "" if trial["held"] else "bold red")
        shown.add_row(
            mark, cell(trial["specimen"]), cell(trial["expected"]), came_to, f"{trial['seconds']:.1f}"
        )
        for sentence in (*trial["shortcomings"], *trial["aftermath"]):
            shown.add_row("", cell(f"  → {sentence}", "red"))
    console = result_console()
    console.print(
        Text(f"\n{backend['name']}: an honest network scores {percent(backend['accuracy'])}", style="bold")
    )
    console.print(shown)


def _show_accounting(backend: Json) -> None:
    shown = table("", "left behind", "before", "after", right=("before", "after"))
    for label, counted in backend["accounting"].items():
        same = counted["before"] == counted["after"]
        mark = Text("✓", style="green") if same else Text("✗", style="bold red")
        shown.add_row(mark, cell(label), f"{counted['before']:,}", f"{counted['after']:,}")
    console = result_console()
    console.print()
    console.print(shown)
    for sentence in backend["aftermath"]:
        console.print(cell(f"→ {sentence}", "red"))
    console.print()
