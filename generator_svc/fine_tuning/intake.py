"""Takes a job in as it arrives: the settings first, then a chat a line. Bounded, and checked at once.

Every line is looked at once, as soon as it is there, so that a long body is refused at its first fault.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from contracts.fine_tuning import ChatSplit, FineTuneCare, FineTuneSettings, TrainingChat
from contracts.problems import problem, validation_problem
from generator_svc.fine_tuning.adapters import AdapterStore, AdapterUnknown
from generator_svc.fine_tuning.durable_files import remove_folder
from generator_svc.fine_tuning.job_folder import CHATS, JobRecord, write_record
from generator_svc.fine_tuning.journal import now
from generator_svc.fine_tuning.settings import complete_settings
from generator_svc.fine_tuning.training_chats import ChatRefused, chat_line, check_chat, digest_of
from generator_svc.request_checks import Refused, refuse_field

MAX_LINE_BYTES = 1024 * 1024
"""Of a chat: a source with JSON's escapes, its delta, and what callers keep beside them."""
MAX_BODY_BYTES = 1024 * 1024 * 1024
MAX_CHATS = 100_000

_CHAT = TypeAdapter(TrainingChat)


class Intake:
    """A job on its way in. A context manager: what has not become a job is removed at the end."""

    def __init__(self, folder: Path, adapters: AdapterStore) -> None:
        """`folder` is new, beside those of jobs. Raises OSError."""
        self.folder = folder
        self._adapters = adapters
        self.folder.mkdir(mode=0o700, parents=True)
        self._chats: IO[bytes] = (self.folder / CHATS).open("wb")
        self._digest = hashlib.sha256()
        self._settings: FineTuneSettings | None = None
        self._pending = bytearray()
        self._size = 0
        self._lines = 0
        self._train = 0

    def __enter__(self) -> "Intake":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # on a full disk closing writes once more, in vain
            self._chats.close()
        remove_folder(self.folder)

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises Refused with the number of the line at fault, and OSError."""
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise Refused(problem(413, "body_too_large", f"The body is larger than {MAX_BODY_BYTES} bytes."))
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._pending += part
            self._take(bytes(self._pending))
            self._pending.clear()
        self._pending += rest
        self._check_length(self._pending)

    def finish(self, job_id: str, care: FineTuneCare = FineTuneCare.OWN) -> JobRecord:
        """Bring everything to disk and give what the job is. Raises Refused, OSError."""
        self._take(bytes(self._pending))
        if self._settings is None:
            refuse_field("body", "is empty", None, "Write the settings on the first line.")
        if not self._train:
            refuse_field("body", "has no chat to train on", None, "Write one training chat on each line.")
        self._chats.flush()
        os.fsync(self._chats.fileno())
        self._chats.close()
        data = self._digest.hexdigest()
        settings = json.dumps(asdict(self._settings), sort_keys=True).encode()
        record = JobRecord(job_id, self._settings, digest_of([settings, data.encode()]), data, now(), care)
        write_record(self.folder, record)
        return record

    def _take(self, line: bytes) -> None:
        self._lines += 1
        self._check_length(line)
        if not line.strip():
            return
        if self._settings is None:
            self._settings = complete_settings(_object(line), self._settings_of)
            return
        chat = self._chat(line)
        self._train += chat.split is not ChatSplit.VALIDATION
        if self._lines > MAX_CHATS:
            refuse_field("body", f"has more than {MAX_CHATS} lines", None)
        stored = chat_line(chat)
        self._digest.update(stored)
        self._chats.write(stored)

    def _settings_of(self, adapter_id: str) -> FineTuneSettings | None:
        try:
            return self._adapters.manifest(adapter_id).settings
        except AdapterUnknown:
            return None

    def _chat(self, line: bytes) -> TrainingChat:
        try:
            chat = _CHAT.validate_json(line)
        except ValidationError as error:
            first = validation_problem(error.errors(include_url=False))["errors"][0]
            field = "" if first["field"] == "body" else f".{first['field']}"
            refuse_field(f"lines.{self._lines}{field}", first["message"], first["value"])
        try:
            check_chat(chat.messages)
        except ChatRefused as refused:
            refuse_field(
                f"lines.{self._lines}.messages",
                str(refused),
                None,
                "Send chats as POST /v1/training-pairs makes them.",
            )
        return chat

    def _check_length(self, line: bytes | bytearray) -> None:
        if len(line) > MAX_LINE_BYTES:
            refuse_field(f"lines.{max(1, self._lines)}", f"is longer than {MAX_LINE_BYTES} bytes", None)


def _object(line: bytes) -> dict[str, Any]:
    try:
        settings = json.loads(line)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        refuse_field("lines.1", "is no JSON object", None, "Write the settings on the first line.")
    return settings
