"""Reads its order from standard input, trains, and says on standard output how it goes, as JSON lines."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contracts.fine_tuning import FineTuneFailure, FineTuneResult
from generator_svc.fine_tuning.durable_files import disk_failure
from generator_svc.fine_tuning.job_folder import JobDamaged, JobFolder
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.trainer.reporting import Reporter
from generator_svc.language_models.local.process_ties import end_with_starter, gain_no_privileges


def main() -> None:
    """Train what the order names; the last line on standard output is the result or the failure."""
    words = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints is for the log
    order = json.loads(sys.stdin.buffer.readline())
    end_with_starter(order["starter"])
    gain_no_privileges()
    try:
        last = {"result": asdict(_result(order, words.write))}
    except TrainingFailed as failed:
        last = {"failure": asdict(failed.failure)}
    except JobDamaged as damaged:
        remedy = "Remove the job and send it under another id."
        last = {"failure": asdict(FineTuneFailure("job_damaged", f"{damaged}.", remedy, retryable=False))}
    except OSError as error:
        last = {"failure": asdict(disk_failure(error))}
    words.write(json.dumps(last).encode() + b"\n")


def _result(order: dict[str, Any], say: Callable[[bytes], object]) -> FineTuneResult:
    try:
        from generator_svc.fine_tuning.trainer.session import Session  # takes seconds, and may not be there
    except ImportError as error:
        raise TrainingFailed(
            "libraries_missing",
            f"Fine-tuning needs a library that is not installed: {error.name}.",
            "Install the extra `llm`: pip install 'deltanas[llm]'.",
            retryable=True,
        ) from error
    folder = JobFolder(Path(order["home"]), order["id"])
    with Reporter(folder, say) as reporter:
        return Session(Path(order["home"]), folder, reporter, order["save_memory"]).run()


if __name__ == "__main__":
    main()
