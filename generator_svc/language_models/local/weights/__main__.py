"""Holds one model and answers the generator: `python -m …local.weights FOLDER PID`.

Calls come in on standard input, answers go out on standard output; both as local/protocol.py says.
Whatever libraries print goes to standard error.
"""

import os
import sys
import threading
from pathlib import Path

from generator_svc.language_models.local.process_ties import end_with_starter, gain_no_privileges
from generator_svc.language_models.local.weights.inbox import Inbox


def main() -> None:
    """Serve until standard input ends, or the generator's thread that started this does."""
    folder, generator = Path(sys.argv[1]), int(sys.argv[2])
    end_with_starter(generator)
    gain_no_privileges()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    inbox = Inbox()
    threading.Thread(target=inbox.listen, args=(sys.stdin.buffer,), daemon=True).start()
    # Only now: torch takes seconds, and that the generator has gone must be heard meanwhile.
    from generator_svc.language_models.local.weights.serving import serve

    serve(folder, inbox, answers)


if __name__ == "__main__":
    main()
