"""The two services of an agent whose host trains: the gateway, and the generator that does the training."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from contracts.fine_tune_attempts import (
    ClaimedFineTune,
    FineTuneOutcome,
    Forgettable,
    LeaseKept,
    TrainingHost,
    TrainingNews,
)
from contracts.fine_tuning import FineTuneCare, FineTuneEvent, FineTuneStatus
from sandbox_runner.agent.links import Lease, Rejected, ServiceLink, shown

TAKE_IN_SECONDS = 600.0
"""For bringing what was sent to disk."""

_HOST = TypeAdapter(TrainingHost)
_FORGETTABLE = TypeAdapter(Forgettable)
_CLAIMED = TypeAdapter(ClaimedFineTune)
_NEWS = TypeAdapter(TrainingNews)
_KEPT = TypeAdapter(LeaseKept)
_OUTCOME = TypeAdapter(FineTuneOutcome)
_STATUS = TypeAdapter(FineTuneStatus)
_EVENT = TypeAdapter(FineTuneEvent)


class TrainingGatewayLink(ServiceLink):
    """The gateway's internal surface for fine-tunes."""

    def heartbeat_agent(self, agent_id: str, host: TrainingHost) -> tuple[str, ...]:
        """Say what this host can train; gives the jobs of which nothing need be kept."""
        path = f"/internal/v1/training-agents/{quote(agent_id, safe='')}:heartbeat"
        return _FORGETTABLE.validate_json(
            self._call("POST", path, content=_HOST.dump_json(host)).content
        ).forget

    def next_attempt(self, agent_id: str, wait_seconds: float) -> str | None:
        """The id of an attempt to claim, or None when there is none within the wait."""
        path = f"/internal/v1/training-agents/{quote(agent_id, safe='')}/next"
        response = self._call("GET", path, wait_seconds=wait_seconds)
        return None if response.status_code == 204 else str(response.json()["attempt_id"])

    def claim(self, agent_id: str, attempt_id: str, key: str) -> ClaimedFineTune | None:
        """Claim an attempt; None when it cannot be claimed any more. It may be repeated with the same key."""
        content = TypeAdapter(dict[str, str]).dump_json({"agent_id": agent_id, "key": key})
        try:
            response = self._call("POST", f"{_attempt(attempt_id)}:claim", content=content)
        except Rejected as rejected:
            if rejected.status in {404, 409}:
                return None
            raise
        return _CLAIMED.validate_json(response.content)

    def heartbeat(self, lease: Lease, news: TrainingNews) -> LeaseKept:
        """Keep the lease and tell what is new. Raises Rejected (409) when the lease is lost."""
        path = f"{_attempt(lease.attempt_id)}:heartbeat"
        response = self._call("POST", path, content=_NEWS.dump_json(news), headers=shown(lease))
        return _KEPT.validate_json(response.content)

    def report(self, lease: Lease, outcome: FineTuneOutcome) -> None:
        """Say how the attempt ended. Raises Rejected (409) when that is stale."""
        path = f"{_attempt(lease.attempt_id)}:report"
        self._call("POST", path, content=_OUTCOME.dump_json(outcome), headers=shown(lease))

    def release(self, lease: Lease) -> None:
        """Give the attempt back unfinished, by nobody's fault. Raises Rejected (409) when it is lost."""
        self._call("POST", f"{_attempt(lease.attempt_id)}:release", headers=shown(lease))

    def chats(self, lease: Lease) -> AbstractContextManager[Iterator[bytes]]:
        """The job as a generator takes it in."""
        return self._download(f"{_attempt(lease.attempt_id)}/chats", shown(lease))

    def parent(self, lease: Lease) -> AbstractContextManager[Iterator[bytes]]:
        """The adapter that the job goes on from, as a generator takes it in."""
        return self._download(f"{_attempt(lease.attempt_id)}/parent", shown(lease))

    def deliver(self, lease: Lease, content: Iterable[bytes]) -> None:
        """Bring the adapter that the attempt came to."""
        self._call(
            "PUT",
            f"{_attempt(lease.attempt_id)}/adapter",
            content=content,
            headers={"content-type": "application/octet-stream", **shown(lease)},
            patience_seconds=TAKE_IN_SECONDS,
        )


class GeneratorLink(ServiceLink):
    """The generator of this host, as one that trains borrowed jobs."""

    def models(self) -> dict[str, str]:
        """The SHA-256 of the weights of each model that it has, by its name."""
        items: dict[str, str] = self._call("GET", "/v1/models").json()["items"]
        return items

    def borrowed(self) -> list[FineTuneStatus]:
        """The borrowed jobs of which it keeps anything."""
        items: list[dict[str, Any]] = self._call("GET", "/v1/fine-tunes").json()["items"]
        statuses = map(_STATUS.validate_python, items)
        return [status for status in statuses if status.care is FineTuneCare.BORROWED]

    def put(self, job_id: str, content: Iterable[bytes]) -> FineTuneStatus:
        """Let a borrowed job be trained: a new one, one that rests, or one that failed and may go on."""
        response = self._call(
            "PUT",
            _job(job_id),
            content=content,
            headers={"content-type": "application/x-ndjson"},
            parameters={"care": FineTuneCare.BORROWED.value},
            patience_seconds=TAKE_IN_SECONDS,
        )
        return _STATUS.validate_json(response.content)

    def status(self, job_id: str) -> FineTuneStatus | None:
        """How a job is; None where it knows none of this id."""
        try:
            return _STATUS.validate_json(self._call("GET", _job(job_id)).content)
        except Rejected as rejected:
            if rejected.status == 404:
                return None
            raise

    def events(self, job_id: str, after: int) -> tuple[FineTuneEvent, ...]:
        """What has happened after an event, a thousand at most."""
        response = self._call("GET", f"{_job(job_id)}/events", parameters={"after": str(after)})
        return tuple(_EVENT.validate_json(line) for line in response.content.split(b"\n") if line)

    def rest(self, job_id: str) -> None:
        """Let a job rest until it is put again; one that is not there is no error."""
        self._unless_gone("POST", f"{_job(job_id)}:rest")

    def forget(self, status: FineTuneStatus) -> None:
        """Remove a job with its chats, its adapter, and what it went on from.

        Raises Rejected (409) where its trainer is still ending.
        """
        self._unless_gone("POST", f"{_job(status.id)}:cancel")
        self._unless_gone("DELETE", _adapter(status.id))
        self._unless_gone("DELETE", _job(status.id))
        if status.settings.parent_adapter is not None:
            self._unless_gone("DELETE", _adapter(status.settings.parent_adapter))

    def has_adapter(self, adapter_id: str) -> bool:
        """Whether it has an adapter."""
        try:
            self._call("GET", _adapter(adapter_id))
        except Rejected as rejected:
            if rejected.status == 404:
                return False
            raise
        return True

    def take_adapter(self, adapter_id: str, content: Iterable[bytes]) -> None:
        """Give it an adapter to go on from."""
        self._call(
            "PUT",
            _adapter(adapter_id),
            content=content,
            headers={"content-type": "application/octet-stream"},
            patience_seconds=TAKE_IN_SECONDS,
        )

    def parcel(self, adapter_id: str) -> AbstractContextManager[Iterator[bytes]]:
        """An adapter, as another generator takes it in."""
        return self._download(f"{_adapter(adapter_id)}/parcel")

    def _unless_gone(self, method: str, path: str) -> None:
        try:
            self._call(method, path)
        except Rejected as rejected:
            if rejected.status != 404:
                raise


def _attempt(attempt_id: str) -> str:
    return f"/internal/v1/fine-tune-attempts/{quote(attempt_id, safe='')}"


def _job(job_id: str) -> str:
    return f"/v1/fine-tunes/{quote(job_id, safe='')}"


def _adapter(adapter_id: str) -> str:
    return f"/v1/adapters/{quote(adapter_id, safe='')}"
