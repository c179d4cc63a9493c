"""The appliers that are compared: this project's, GNU patch, git apply, whatthepatch.

The others are helped as a harness around them would: fences and `<delta>` tags are cut off, line ends
become those of the baseline, missing file names are put before the hunks, and their result passes the
same gates (it parses, `Net` is there, its code is another). What remains is the question at hand: what
they make of the hunks.
"""

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import whatthepatch
from whatthepatch.exceptions import WhatThePatchException

from contracts.source_rules import SourceRejected, check_source
from contracts.syntax import parse
from generator_svc.deltas import apply_delta

from .hunks import NAMES

Applier = Callable[[str, str], str | None]
"""From baseline and answer to the new source; None if it refuses."""

FENCED = re.compile(r"^(?:```|~~~)\w*[ \t]*\r?\n(.*?)(?:^(?:```|~~~)[ \t]*\r?$|\Z)", re.MULTILINE | re.DOTALL)
TAGS = re.compile(r"^</?delta>[ \t]*\r?\n?", re.MULTILINE)
PROCESS_SECONDS = 20


def ours(baseline: str, answer: str) -> str | None:
    """generator_svc.deltas.apply_delta."""
    return apply_delta(baseline, answer).source


def gnu_patch(folder: Path) -> Applier:
    """`patch -l -F3`: white space ignored, up to three context lines of a hunk wrong at either end."""

    def apply(baseline: str, answer: str) -> str | None:
        return _by_process(
            ["patch", "-l", "-F3", "-s", "-f", "-N", "--no-backup-if-mismatch", "-r", "-", "net.py"],
            folder,
            baseline,
            _diff_alone(answer, baseline),
        )

    return apply


def git_apply(folder: Path) -> Applier:
    """`git apply -C1 --recount`, white space ignored: counts do not matter, one context line suffices."""
    command = [
        "git",
        "apply",
        "-C1",
        "--recount",
        "--ignore-whitespace",
        "--whitespace=nowarn",
        "--unsafe-paths",
    ]

    def apply(baseline: str, answer: str) -> str | None:
        text = re.sub(r"^(?:---|\+\+\+) .*$\n?", "", _diff_alone(answer, baseline), flags=re.MULTILINE)
        return _by_process([*command, "-"], folder, baseline, NAMES + text)

    return apply


def what_the_patch(baseline: str, answer: str) -> str | None:
    """whatthepatch.apply_diff, one diff after the other."""
    lines = baseline.splitlines()
    found = False
    try:
        for diff in whatthepatch.parse_patch(_diff_alone(answer, baseline)):
            if diff.changes:
                lines = list(whatthepatch.apply_diff(diff, lines))
                found = True
    except (WhatThePatchException, ValueError, TypeError, IndexError, AttributeError):
        return None
    end = "\r\n" if "\r\n" in baseline else "\n"
    return end.join(lines) + end if found else None


def gated(apply: Applier) -> Applier:
    """The same applier behind this project's gates."""

    def checked(baseline: str, answer: str) -> str | None:
        source = apply(baseline, answer)
        return source if source is not None and _is_step(baseline, source) else None

    return checked


def all_appliers(folder: Path) -> dict[str, Applier]:
    """By the name that tables show. `folder` is for files, best in memory."""
    return {
        "deltanas": ours,
        "patch": gated(gnu_patch(folder)),
        "git apply": gated(git_apply(folder)),
        "whatthepatch": gated(what_the_patch),
    }


def _diff_alone(answer: str, baseline: str) -> str:
    text = TAGS.sub("", answer.replace("\r\n", "\n"))
    blocks = FENCED.findall(text)
    text = "".join(block if block.endswith("\n") else block + "\n" for block in blocks) if blocks else text
    text = text if re.search(r"^--- .*\n\+\+\+ ", text, re.MULTILINE) else NAMES + text
    return text.replace("\n", "\r\n") if "\r\n" in baseline else text


def _by_process(command: list[str], folder: Path, baseline: str, text: str) -> str | None:
    source = folder / "net.py"
    source.write_bytes(baseline.encode())
    run = subprocess.run(
        command,
        cwd=folder,
        input=text.encode(errors="replace"),
        capture_output=True,
        timeout=PROCESS_SECONDS,
        check=False,
    )
    return source.read_bytes().decode(errors="replace") if run.returncode == 0 and source.is_file() else None


def _is_step(baseline: str, source: str) -> bool:
    try:
        same_contract = check_source(source).contract is check_source(baseline).contract
    except SourceRejected:
        return False
    return same_contract and ast.dump(parse(source)) != ast.dump(parse(baseline))
