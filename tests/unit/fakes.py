# --- around the search loop -------------------------------------------------------------------------
import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pydantic import TypeAdapter

from contracts.chats import ChatMessage
from contracts.failures import Failure, FailureReason
from contracts.fine_tune_attempts import ClaimedFineTune, FineTuneOutcome, TrainingHost, TrainingNews
from contracts.fine_tuning import (
    AdapterFile,
    AdapterManifest,
    ChatCounts,
    FineTuneCare,
    FineTuneEvent,
    FineTuneFailure,
    FineTunePreset,
    FineTuneResult,
    FineTuneSettings,
    FineTuneState,
    FineTuneStatus,
    GradientCheckpointing,
    Precision,
    Schedule,
)
from contracts.guest_wire import HEADER, FrameKind
from contracts.jobs import (
    Admission,
    AgentHeartbeat,
    AppliedDelta,
    AttemptOutcome,
    AttemptSpec,
    AttemptStatus,
    BackendReport,
    BaselineNetwork,
    ClaimedAttempt,
    DatasetReport,
    Neighbour,
    RunnerCapabilities,
    Screening,
    ScreeningRequest,
)
from contracts.measurements import Isolation, Measurement, Provenance
from contracts.names import (
    AttemptKind,
    EvaluationState,
    IsolationTier,
    NoveltyLayer,
    ScoredOn,
    StructureComparison,
)
from contracts.proposals import (
    AnswerForm,
    DataShape,
    DeploymentLimits,
    EditPermissions,
    ModelCall,
    Proposal,
    ProposalRequest,
    ProposalSlot,
    ProposerBlocked,
)
from contracts.slot_prompts import SlotPrompt
from contracts.training_pairs import (
    NamedSource,
    NearnessLine,
    NearPair,
    PairLeftOut,
    PairOrder,
    TrainingPair,
    TrainingPairLine,
)
from gateway.infra.database import Database
from gateway.infra.evaluation_transitions import finish
from gateway.infra.fine_tune_client import Download
from gateway.infra.publications import BrokerUnavailable, Order
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.tables import EvaluationRow
from generator_svc.held_up import HeldUp
from generator_svc.language_models.port import ChatAnswer, ChatRequest, Sampling
from sandbox_runner.agent.links import Lease
from sandbox_runner.sandboxes.port import Exit, SandboxSpec, SandboxUnavailable, Usage


class PowerCut(BaseException):
    """The process ended here: nothing may catch it."""


class FakeGenerator:
    """Its proposals depend on the slot's seed and baseline alone, as the real one's do."""

    name = "generator"

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.trouble: dict[int, list[Exception]] = {}
        """By slot number, what the next calls that contain this slot raise."""
        self.backwards = False
        self.permissions: set[EditPermissions] = set()
        """All that were sent along, with requests for proposals and with deltas to apply."""
        self.deployments: set[DeploymentLimits] = set()
        self.data_shapes: set[DataShape | None] = set()
        """With requests for proposals and with deltas alike, as the two before."""
        self.forms: dict[str, AnswerForm] = {}
        """By answer, the form in which it was to be applied."""
        self.asked: list[ProposalRequest] = []
        self.calls_per_proposal = 0
        """How many calls of a model stand behind each proposal."""
        self.orders: list[PairOrder] = []
        self.unlearnable: set[str] = set()
        """Targets of which no training pair comes."""

    def propose(self, request: ProposalRequest) -> Iterator[Proposal]:
        self.batches.append([slot.slot for slot in request.slots])
        self.permissions.add(request.edits)
        self.deployments.add(request.deployment)
        self.data_shapes.add(request.data_shape)
        self.asked.append(request)
        for slot in reversed(request.slots) if self.backwards else request.slots:
            if self.trouble.get(slot.slot):
                raise self.trouble[slot.slot].pop(0)
            kind = slot.seed % 7
            if kind == 0:
                yield Proposal(
                    slot.slot, request.proposer, "", "", "no mutation applies", calls=self._calls(slot, "")
                )
            else:
                delta = {1: "unplaceable", 2: "nothing new"}.get(kind, f"grow {slot.seed % 1000}")
                calls = self._calls(slot, delta)
                yield Proposal(slot.slot, request.proposer, delta, f"summary of {delta}", calls=calls)

    def _calls(self, slot: ProposalSlot, answer: str) -> tuple[ModelCall, ...]:
        roles = ["proposal", *["repair"] * (self.calls_per_proposal - 1)]
        return tuple(model_call(role, slot, answer) for role in roles[: self.calls_per_proposal])

    def apply_delta(
        self,
        baseline_source: str,
        answer: str,
        edits: EditPermissions = EditPermissions(),
        form: AnswerForm = AnswerForm.DELTA,
        deployment: DeploymentLimits = DeploymentLimits(),
        *,
        dataset: str | None = None,
        data_shape: DataShape | None = None,
        with_repair: bool = False,
    ) -> AppliedDelta:
        self.permissions.add(edits)
        self.deployments.add(deployment)
        self.data_shapes.add(data_shape)
        self.forms[answer] = form
        delta = answer
        if delta == "unplaceable":
            return AppliedDelta("refused", "hunk_unplaceable", "hunk 1 fits nowhere", 0.0, None, None)
        # "nothing new" adds a comment, which the filter sees through.
        line = "# again\n" if delta == "nothing new" else f"grown_by_{delta.split()[1]} = 1\n"
        return AppliedDelta("applied", "", "", 1.0, baseline_source + line, f"+{line}")

    def baselines(self) -> list[BaselineNetwork]:
        return []

    def training_pairs(
        self, orders: Iterable[PairOrder], fewest_lines: int, most_lines: int
    ) -> Iterator[TrainingPairLine]:
        """The real prompt's shape; the answer is what the target has more than the baseline."""
        made = 0
        for order in orders:
            self.orders.append(order)
            if order.target_source is None or order.target_source in self.unlearnable:
                yield TrainingPairLine(left_out=PairLeftOut(order.id, "no_delta"))
                continue
            delta = f"+{order.target_source.removeprefix(order.baseline_source)}"
            turns = (("system", "Improve it."), ("user", order.baseline_source), ("assistant", delta))
            chat = tuple(ChatMessage(role, content) for role, content in turns)
            made += 1
            yield TrainingPairLine(pair=TrainingPair(order.id, "delta_v2", chat, delta, 3, 1))
        yield TrainingPairLine(made=made)

    def readiness_problems(self) -> list[str]:
        return []


def model_call(role: str, slot: ProposalSlot, answer: str, **fields) -> ModelCall:
    """A call of 100 tokens that cost a cent."""
    usual = {
        "role": role,
        "model": "fake/parrot",
        "adapter": None,
        "prompt_version": "delta_v1",
        "messages": (ChatMessage("system", "be brief"), ChatMessage("user", slot.baseline_source)),
        "sampling": {"temperature": 0.35, "seed": slot.seed},
        "answer": answer,
        "finish_reason": "stop",
        "prompt_tokens": 80,
        "completion_tokens": 20,
        "cost_usd": 0.01,
        "seconds": 0.5,
    }
    return ModelCall(**usual | fields)


class FakeFilter:
    """Sees exact copies, comments left out, within a scope; and likeness line by line where it is told to."""

    def __init__(self) -> None:
        self.scopes: dict[str, dict[str, str]] = {}
        self.labels: dict[str, str] = {}
        self.graphs: dict[str, str] = {}
        self.trouble: list[Exception] = []
        self.sees_likeness = False
        self.asked: list[ScreeningRequest] = []
        self.unreadable: set[str] = set()
        """Ids of architectures that are refused."""

    def screen(self, request: ScreeningRequest) -> Screening:
        if self.trouble:
            raise self.trouble.pop(0)
        self.asked.append(request)
        mine = _without_comments(request.source)
        near = [
            Neighbour(name, 1.0 if source == mine else _common_lines(source, mine), self.labels[name])
            for name, source in self.scopes.get(request.scope, {}).items()
            if name != request.proposal_id and (request.among is None or name in request.among)
        ]
        nearest = tuple(sorted(near, key=lambda one: (-one.jaccard, one.id)))
        if nearest and nearest[0].jaccard == 1.0:
            return Screening(False, NoveltyLayer.EXACT, nearest, ("+# again",))
        if request.graph is not None and request.structure_threshold is not None:
            seen = {"structure": StructureComparison.COMPARED, "structure_key": request.graph}
            near = [one for one in nearest if self.graphs.get(one.id) == request.graph]
            same = [replace(one, structure=1.0) for one in near]
            if same:
                return Screening(False, NoveltyLayer.STRUCTURE, tuple(same), ("-a", "+b"), **seen)
            return Screening(True, None, nearest, **seen)
        if self.sees_likeness and nearest and nearest[0].jaccard >= request.threshold:
            return Screening(False, NoveltyLayer.JACCARD, nearest, ("-old = 1", "+new = 1"))
        return Screening(True, None, nearest)

    def near(self, sources: Iterable[NamedSource], at_least: float) -> Iterator[NearnessLine]:
        """Everything is near everything."""
        names = [source.id for source in sources]
        for first, second in combinations(names, 2):
            yield NearnessLine(near=NearPair(first, second, at_least))
        yield NearnessLine(compared=len(names))

    def admit(self, proposal_id: str, admission: Admission) -> None:
        if proposal_id in self.unreadable:
            raise ServiceRefused("filter", 422, {"code": "not_screenable", "detail": "no Net"})
        scope = self.scopes.setdefault(admission.scope, {})
        scope[proposal_id] = _without_comments(admission.source)
        self.labels[proposal_id] = admission.label
        if admission.graph is not None:
            self.graphs[proposal_id] = admission.graph

    def forget(self, scope: str) -> None:
        self.scopes.pop(scope, None)

    def count(self, scope: str) -> int:
        return len(self.scopes.get(scope, {}))

    def readiness_problems(self) -> list[str]:
        return []


class FakeFarm:
    """Ends queued evaluations in the real queue: accuracy from source and seed, one source in eight fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ended_by_source: dict[str, tuple[EvaluationState, Failure | None]] = {}
        """Candidate ids with another end than usual."""
        self.broken_traces: dict[str, Failure] = {}
        """By candidate id, how a trace ends that does not come to its end."""

    def work(self, at_most: int = 10_000) -> int:
        with self._database.write() as session:
            queued = session.query(EvaluationRow).filter(EvaluationRow.state == EvaluationState.QUEUED)
            rows = queued.order_by(EvaluationRow.id).limit(at_most).all()
            for row in rows:
                self._end(session, row)
            return len(rows)

    def _end(self, session, row: EvaluationRow) -> None:
        if row.kind == AttemptKind.TRACE:
            self._end_trace(session, row)
            return
        seed = row.request["seeds"][0]
        number = int(hashlib.sha256(f"{row.candidate_id}{seed}".encode()).hexdigest()[:6], 16)
        breaks = int(row.candidate_id[:4], 16) % 8 == 0 and "grown" in row.source
        usual = (
            (EvaluationState.FAILED, Failure(FailureReason.TRAIN_ERROR, "shapes differ")) if breaks else None
        )
        state, failure = self.ended_by_source.get(
            row.candidate_id, usual or (EvaluationState.SUCCEEDED, None)
        )
        if failure is not None:
            row.failure = asdict(failure)
        if state is EvaluationState.SUCCEEDED:
            accuracy = 0.5 + number % 4000 / 10_000
            row.measurement = asdict(measurement(accuracy, audit_accuracy=accuracy - 0.01))
        finish(session, row, state)

    def _end_trace(self, session, row: EvaluationRow) -> None:
        """Every source computes something else."""
        failure = self.broken_traces.get(row.candidate_id)
        if failure is not None:
            row.failure = asdict(failure)
            finish(session, row, EvaluationState.FAILED)
            return
        costs = {"startup_seconds": 0.1, "wall_seconds": 0.2, "cpu_seconds": 0.2, "peak_memory_bytes": 10**8}
        row.trace, row.graph = {"not_traceable": None} | costs, f"graph-{row.candidate_id[:12]}"
        finish(session, row, EvaluationState.SUCCEEDED)


class CrashingDatabase(Database):
    """Loses power at one write: before it is on disk, or right after."""

    def __init__(self, url: str, at_write: int, after_commit: bool) -> None:
        super().__init__(url)
        self.writes = 0
        self._at_write = at_write
        self._after_commit = after_commit

    @contextmanager
    def write(self):
        self.writes += 1
        crashes = self.writes == self._at_write
        with super().write() as session:
            yield session
            if crashes and not self._after_commit:
                raise PowerCut
        if crashes:
            raise PowerCut


def measurement(accuracy: float, audit_accuracy: float | None = None, **fields) -> Measurement:
    return Measurement(
        accuracy=accuracy,
        accuracy_standard_error=0.01,
        scored_on=ScoredOn.SELECTION_HALF,
        evaluated_images=1000,
        startup_seconds=0.1,
        wall_seconds=2.0,
        cpu_seconds=fields.pop("cpu_seconds", 1.5),
        peak_memory_bytes=fields.pop("peak_memory_bytes", 2**30),
        audit_accuracy=audit_accuracy,
        **fields,
    )


def baseline(name: str, family: str = "plain", **fields) -> BaselineNetwork:
    source = f"import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n\n\nname = {name!r}\n"
    return BaselineNetwork(name, family, "plain", f"the {name}", source, **fields)


def _common_lines(one: str, other: str) -> float:
    """Below 1, since comments and order may differ."""
    lines, others = set(one.splitlines()), set(other.splitlines())
    return min(0.99, len(lines & others) / len(lines | others))


def _without_comments(source: str) -> str:
    return "".join(line for line in source.splitlines(keepends=True) if not line.startswith("#"))


# --- around the command line and the client ---------------------------------------------------------
@dataclass(frozen=True)
class Heard:
    """A request as the fake gateway heard it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class FakeGateway:
    """A gateway on a real port that gives prepared answers, and hangs up where it is told to."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._answers: dict[tuple[str, str], list[tuple[int, dict[str, str], bytes]]] = {}
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gateway._serve(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def answer(self, method: str, path: str, document=None, *, status: int = 200, **headers: str) -> None:
        """Give this answer next; the last one prepared for a path is repeated.

        Headers have underscores for dashes. `cut_off="1"` closes the connection one byte before the end.
        """
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        kinds = {"content_type": "text/plain" if isinstance(document, str) else "application/json"}
        self._answers.setdefault((method, path), []).append((status, {**kinds, **headers}, body))

    def hang_up(self, method: str, path: str) -> None:
        """Close the connection without an answer, once."""
        self._answers.setdefault((method, path), []).append((0, {}, b""))

    def events(self, path: str, *events: tuple[str, dict]) -> None:
        """Give a stream of events, then end it."""
        lines = [
            f"id: {n}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
            for n, (kind, data) in enumerate(events, 1)
        ]
        self.answer("GET", path, "".join(lines), content_type="text/event-stream")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = self._body(handler)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.heard.append(Heard(handler.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
        prepared = self._answers.get((handler.command, parts.path))
        if prepared is None:
            problem = {"code": "not_found", "detail": f"nothing prepared for {handler.command} {parts.path}"}
            prepared = [(404, {}, json.dumps(problem).encode())]
        status, extra, content = prepared.pop(0) if len(prepared) > 1 else prepared[0]
        if status == 0:
            handler.close_connection = True
            handler.connection.close()
            return
        missing = int(extra.pop("cut_off", "0"))
        handler.send_response(status)
        for name, value in {**extra, "content_length": str(len(content) + missing)}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = handler.close_connection or missing > 0

    def _body(self, handler: BaseHTTPRequestHandler) -> bytes:
        if handler.headers.get("transfer-encoding") != "chunked":
            return handler.rfile.read(int(handler.headers.get("content-length", 0)))
        chunks = []
        while size := int(handler.rfile.readline(), 16):
            chunks.append(handler.rfile.read(size))
            handler.rfile.readline()
        handler.rfile.readline()
        return b"".join(chunks)


# --- around the gateway's HTTP surface ----------------------------------------------------------------


class FakeGeneratorService(FakeGenerator):
    """The generator as the routes use it, with two baselines."""

    def __init__(self) -> None:
        super().__init__()
        self.unreachable = False
        self._baselines = [
            baseline("oak", hyperparameters={"lr": 0.01, "momentum": 0.9}),
            baseline("elm", "residual"),
        ]

    def baselines(self) -> list[BaselineNetwork]:
        if self.unreachable:
            raise ServiceUnavailable("generator", "down")
        return self._baselines

    def baseline(self, name: str) -> BaselineNetwork | None:
        return next((network for network in self.baselines() if network.name == name), None)

    def prompts(self, request: ProposalRequest) -> list[SlotPrompt]:
        self.baselines()
        said = f"a {request.options['form']}, please"
        return [
            SlotPrompt(slot.slot, "fake_v1", (ChatMessage("user", f"{said}\n{slot.baseline_source}"),))
            for slot in request.slots
        ]

    def readiness_problems(self) -> list[str]:
        return ["generator cannot be reached"] if self.unreachable else []

    def close(self) -> None:
        pass


class FakeFineTuner:
    """The generator's fine-tuning jobs and adapters, as `FineTuneClient` gives them. A test moves jobs on."""

    name = "generator"

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.unreachable = False
        self.bodies: dict[str, list[dict]] = {}
        """By job, its lines: settings first, then chats."""
        self.puts: list[str] = []
        self.retried: list[str] = []
        self.refusal: dict | None = None
        """What the next job is refused with."""
        self.busy: set[str] = set()
        """Jobs whose trainer is still ending."""
        self.kept: dict[str, AdapterManifest] = {}
        self.weights: dict[str, str] = {}
        """Of its models, by name, their digests."""
        self.delivered: list[tuple[str, int, bytes]] = []
        """Adapters that came from elsewhere: id, number of the attempt, bytes."""
        self._statuses: dict[str, FineTuneStatus] = {}
        self._events: dict[str, list[FineTuneEvent]] = {}

    def put(self, job_id: str, lines, care: FineTuneCare = FineTuneCare.OWN) -> FineTuneStatus:
        self._reach()
        body = [json.loads(line) for line in lines]
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise ServiceRefused("generator", refusal["status"], refusal)
        self.puts.append(job_id)
        assert self.bodies.setdefault(job_id, body) == body, "the same job was sent with other content"
        self._statuses.setdefault(
            job_id,
            FineTuneStatus(
                job_id,
                FineTuneState.QUEUED,
                "",
                fine_tune_settings(**body[0]),
                "c",
                "d",
                "now",
                care=care,
            ),
        )
        self._events.setdefault(job_id, [])
        return self._statuses[job_id]

    def status(self, job_id: str) -> FineTuneStatus | None:
        self._reach()
        return self._statuses.get(job_id)

    def events(self, job_id: str, after: int) -> list[FineTuneEvent]:
        self._reach()
        return [event for event in self._events[job_id] if event.sequence > after][:1000]

    def cancel(self, job_id: str) -> FineTuneStatus:
        self._reach()
        status = self._statuses[job_id]
        if not status.state.is_terminal:
            self._statuses[job_id] = status = replace(status, state=FineTuneState.CANCELLED)
        return status

    def retry(self, job_id: str) -> FineTuneStatus:
        self._reach()
        self.retried.append(job_id)
        status = self._statuses[job_id]
        if status.failure is not None and status.failure.retryable:
            status = replace(status, state=FineTuneState.QUEUED, failure=None)
            self._statuses[job_id] = status
        return status

    def remove(self, job_id: str) -> None:
        self._reach()
        if job_id in self.busy:
            raise ServiceRefused("generator", 409, {"code": "fine_tune_unfinished"})
        del self._statuses[job_id]

    def adapters(self) -> list[AdapterManifest]:
        self._reach()
        return list(self.kept.values())

    def adapter(self, adapter_id: str) -> AdapterManifest:
        self._reach()
        if adapter_id not in self.kept:
            raise ServiceRefused("generator", 404, {"code": "not_found"})
        return self.kept[adapter_id]

    def adapter_files(self, adapter_id: str, name: str | None = None) -> Download:
        self.adapter(adapter_id)
        content = b"tar of " + adapter_id.encode() if name is None else name.encode()
        return Download(part for part in (b"" if name is None else str(len(content)).encode(), content))

    def remove_adapter(self, adapter_id: str) -> None:
        self._reach()
        self.kept.pop(adapter_id, None)

    def models(self) -> dict[str, str]:
        self._reach()
        return dict(self.weights)

    def chats(self, job_id: str) -> Download:
        self._reach()
        lines = b"".join(json.dumps(line).encode() + b"\n" for line in self.bodies[job_id])
        return Download(part for part in (b"", lines))

    def parcel(self, adapter_id: str) -> Download:
        self.adapter(adapter_id)
        return Download(part for part in (b"5", b"bytes"))

    async def deliver(self, adapter_id: str, fence: int, content) -> None:
        self._reach()
        received = b"".join([chunk async for chunk in content])
        self.delivered.append((adapter_id, fence, received))

    def close(self) -> None:
        pass

    # --- what a test does ---

    @property
    def waiting(self) -> list[str]:
        return [name for name, status in self._statuses.items() if not status.state.is_terminal]

    def train(self, job_id: str, steps: int = 2, **fields) -> None:
        """Some steps, with their events."""
        log = self._events[job_id]
        for step in range(1, steps + 1):
            log.append(FineTuneEvent(len(log) + 1, "now", "step", {"step": step, "loss": 1 / step}))
        usual = {"state": FineTuneState.RUNNING, "phase": "training", "step": steps, "steps": steps}
        self._statuses[job_id] = replace(self._statuses[job_id], **{**usual, **fields})

    def succeed(self, job_id: str, adopted: bool = True) -> None:
        """The job ends with an adapter, which is better than what was there before or not."""
        status = self._statuses[job_id]
        parent = status.settings.parent_adapter
        reason = "The validation loss fell." if adopted else "The validation loss rose."
        use = job_id if adopted else parent
        result = FineTuneResult(job_id, adopted, reason, use, 2, 1.0, 0.5 if adopted else 1.5)
        self._end(job_id, FineTuneState.SUCCEEDED, result=result)
        self.kept[job_id] = AdapterManifest(
            id=job_id,
            base_model=status.settings.model,
            base_source="org/model",
            base_weights_sha256="0" * 64,
            parent_adapter=parent,
            data_sha256="d",
            settings=status.settings,
            chats=ChatCounts(1, 0),
            result=result,
            steps=2,
            trained_tokens=100,
            versions={},
            created_at="now",
            files=(AdapterFile("adapter_model.safetensors", 4, "0" * 64),),
        )

    def fail(self, job_id: str, reason: str = "out_of_memory", retryable: bool = False) -> None:
        message, remedy = "The trainer had not enough memory.", "Shorten the chats."
        self._end(job_id, FineTuneState.FAILED, failure=FineTuneFailure(reason, message, remedy, retryable))

    def lose(self, job_id: str) -> None:
        """Somebody removes the job's folder."""
        del self._statuses[job_id]

    def _end(self, job_id: str, state: FineTuneState, **fields) -> None:
        log = self._events[job_id]
        log.append(FineTuneEvent(len(log) + 1, "now", state.value, {}))
        self._statuses[job_id] = replace(self._statuses[job_id], state=state, phase="", **fields)

    def _reach(self) -> None:
        if self.unreachable:
            raise ServiceUnavailable("generator", "down")


def fine_tune_settings(**fields) -> FineTuneSettings:
    """Settings as the generator completes them."""
    usual = {
        "preset": FineTunePreset.CPU,
        "rank": 16,
        "alpha": 32,
        "dropout": 0.05,
        "targets": ("q_proj",),
        "learning_rate": 2e-4,
        "weight_decay": 0.01,
        "epochs": 3,
        "max_steps": 60,
        "batch": 1,
        "accumulation": 2,
        "schedule": Schedule.COSINE,
        "warmup_share": 0.1,
        "max_gradient_norm": 1.0,
        "max_length": 1024,
        "validation_share": 0.1,
        "max_validation_chats": 16,
        "evaluate_every": 20,
        "patience": 3,
        "precision": Precision.AUTO,
        "gradient_checkpointing": GradientCheckpointing.AUTO,
        "checkpoint_seconds": 60.0,
    }
    return TypeAdapter(FineTuneSettings).validate_python({**usual, **fields})


class FakeFilterService(FakeFilter):
    """The filter as the routes use it."""

    def close(self) -> None:
        pass


class FakeRunner:
    """The runner's datasets."""

    def __init__(self) -> None:
        self.reports = [
            DatasetReport("digits", True, (1, 8, 8), 10, 1500, 297, "hash-of-digits"),
            DatasetReport("svhn", False, problem="run `deltanas datasets prepare svhn`"),
        ]
        self.uploaded: dict[str, bytes] = {}
        self.removed: list[str] = []
        self.unreachable = False

    def datasets(self) -> list[DatasetReport]:
        if self.unreachable:
            raise ServiceUnavailable("runner", "down")
        return self.reports

    def prepare_dataset(self, name: str) -> DatasetReport:
        for report in self.reports:
            if report.name == name:
                return report
        raise ServiceRefused("runner", 404, {"code": "unknown_dataset", "detail": f"no dataset {name}"})

    def remove_dataset(self, name: str) -> None:
        self.removed.append(name)

    async def upload_dataset(self, name: str, content) -> DatasetReport:
        self.uploaded[name] = b"".join([chunk async for chunk in content])
        return DatasetReport(name, True, (3, 8, 8), 2, 10, 4, "hash")

    def readiness_problems(self) -> list[str]:
        return ["runner cannot be reached"] if self.unreachable else []

    def close(self) -> None:
        pass


def capabilities(**fields) -> RunnerCapabilities:
    usual = {
        "backends": (BackendReport("namespaces", IsolationTier.NAMESPACES, True),),
        "tier": IsolationTier.NAMESPACES,
        "slots": 2,
        "threads_per_slot": 1,
        "devices": ("cpu",),
        "datasets": (DatasetReport("digits", True, (1, 8, 8), 10, 1500, 297, "hash-of-digits"),),
        "environment_digest": "e" * 64,
    }
    return RunnerCapabilities(**{**usual, **fields})


def outcome(spec: AttemptSpec, accuracy: float = 0.5, **fields) -> AttemptOutcome:
    """A believable success of an attempt; `failure` turns it into a failure."""
    failure = fields.pop("failure", None)
    measured = measurement(accuracy, None if spec.scored_on is ScoredOn.ALL else accuracy, **fields)
    return AttemptOutcome(
        attempt_id=spec.attempt_id,
        fence=spec.fence,
        measurement=None if failure else replace(measured, scored_on=spec.scored_on),
        failure=failure,
        isolation=Isolation(IsolationTier.NAMESPACES, "namespaces", spec.limits),
        provenance=Provenance(
            spec.dataset, "hash-of-digits", "e" * 64, spec.seed, spec.device, spec.threads, "0.1.0"
        ),
        log="epoch 1\n",
    )


class FakeAgent:
    """Speaks the agents' protocol over HTTP; runs nothing."""

    def __init__(self, http, token: str, agent_id: str = "agent-1", queue: str = "") -> None:
        """`queue`: of a farm's agent, that hears of attempts from a broker."""
        self.id = agent_id
        self.queue = queue
        self._http = http
        self._headers = {"authorization": f"Bearer {token}"}

    def heartbeat(self, **fields) -> None:
        body = asdict(AgentHeartbeat(capabilities(**fields), self.queue))
        answer = self._http.post(f"/internal/v1/agents/{self.id}:heartbeat", json=body, headers=self._headers)
        assert answer.status_code == 204, answer.text

    def next(self, wait: float = 0) -> str | None:
        answer = self._http.get(
            f"/internal/v1/agents/{self.id}/next", params={"wait": wait}, headers=self._headers
        )
        return answer.json()["attempt_id"] if answer.status_code == 200 else None

    def try_claim(self, attempt_id: str, **more: str):
        body = {"agent_id": self.id, **more}
        return self._http.post(f"/internal/v1/attempts/{attempt_id}:claim", json=body, headers=self._headers)

    def claim(self, attempt_id: str) -> ClaimedAttempt:
        answer = self.try_claim(attempt_id)
        assert answer.status_code == 200, answer.text
        return TypeAdapter(ClaimedAttempt).validate_json(answer.content)

    def claim_next(self, wait: float = 0) -> ClaimedAttempt:
        attempt_id = self.next(wait)
        assert attempt_id is not None, "nothing to claim"
        return self.claim(attempt_id)

    def keep(self, claimed: ClaimedAttempt, phase: str = "train"):
        return self._http.post(
            f"/internal/v1/attempts/{claimed.spec.attempt_id}:heartbeat",
            json={"phase": phase},
            headers=self._headers | {"x-attempt-token": claimed.token},
        )

    def release(self, claimed: ClaimedAttempt):
        return self._http.post(
            f"/internal/v1/attempts/{claimed.spec.attempt_id}:release",
            headers=self._headers | {"x-attempt-token": claimed.token},
        )

    def report(self, claimed: ClaimedAttempt, accuracy: float = 0.5, **fields):
        return self.send(claimed, asdict(outcome(claimed.spec, accuracy, **fields)))

    def send(self, claimed: ClaimedAttempt, body: dict):
        return self._http.post(
            f"/internal/v1/attempts/{claimed.spec.attempt_id}:report",
            content=json.dumps(body),  # NaN and all: a broken host sends that, too
            headers=self._headers | {"x-attempt-token": claimed.token, "content-type": "application/json"},
        )


class FakeTrainingAgent:
    """Speaks the protocol of agents whose hosts train, over HTTP; trains nothing."""

    def __init__(self, http, token: str, agent_id: str = "gpu-1", queue: str = "", **models: str) -> None:
        """`models`: the digests of their weights, by name; `tiny` where none is given."""
        self.id = agent_id
        self.queue = queue
        self.models = models or {"tiny": "aa"}
        self.gpus = 0
        self._http = http
        self._headers = {"authorization": f"Bearer {token}"}

    def heartbeat(self, slots: int = 1, borrowed: tuple[str, ...] = ()) -> list[str]:
        """Gives the jobs that it may forget."""
        body = asdict(TrainingHost(slots, self.models, self.queue, borrowed, self.gpus))
        answer = self._post(f"training-agents/{self.id}:heartbeat", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["forget"]

    def next(self) -> str | None:
        path = f"/internal/v1/training-agents/{self.id}/next"
        answer = self._http.get(path, headers=self._headers)
        return answer.json()["attempt_id"] if answer.status_code == 200 else None

    def try_claim(self, attempt_id: str, **more: str):
        return self._post(f"fine-tune-attempts/{attempt_id}:claim", json={"agent_id": self.id, **more})

    def claim(self, attempt_id: str) -> ClaimedFineTune:
        answer = self.try_claim(attempt_id)
        assert answer.status_code == 200, answer.text
        return TypeAdapter(ClaimedFineTune).validate_json(answer.content)

    def claim_next(self) -> ClaimedFineTune:
        self.heartbeat()
        attempt_id = self.next()
        assert attempt_id is not None, "nothing to claim"
        return self.claim(attempt_id)

    def tell(self, claimed: ClaimedFineTune, news: TrainingNews):
        return self._call(claimed, "heartbeat", news)

    def report(self, claimed: ClaimedFineTune, **fields):
        return self._call(claimed, "report", FineTuneOutcome(**{"news": TrainingNews(), **fields}))

    def release(self, claimed: ClaimedFineTune):
        return self._post(f"fine-tune-attempts/{claimed.attempt_id}:release", claimed)

    def get(self, claimed: ClaimedFineTune, what: str):
        path = f"/internal/v1/fine-tune-attempts/{claimed.attempt_id}/{what}"
        return self._http.get(path, headers=self._shown(claimed))

    def deliver(self, claimed: ClaimedFineTune, content: bytes = b"adapter"):
        path = f"/internal/v1/fine-tune-attempts/{claimed.attempt_id}/adapter"
        return self._http.put(path, content=content, headers=self._shown(claimed))

    def _call(self, claimed: ClaimedFineTune, verb: str, body):
        return self._post(f"fine-tune-attempts/{claimed.attempt_id}:{verb}", claimed, json=asdict(body))

    def _post(self, path: str, claimed: ClaimedFineTune | None = None, **content):
        return self._http.post(f"/internal/v1/{path}", headers=self._shown(claimed), **content)

    def _shown(self, claimed: ClaimedFineTune | None) -> dict[str, str]:
        return self._headers | ({} if claimed is None else {"x-attempt-token": claimed.token})


# --- cgroup v2 ---------------------------------------------------------------------------------------


class FakeBroker:
    """Keeps what is sent to it. `away`: it does not answer."""

    def __init__(self) -> None:
        self.sent: list[Order] = []
        self.away = False
        self.strangers: dict[str, int] = {}
        """By queue, how many messages somebody else has put there."""

    def send(self, orders: Sequence[Order]) -> None:
        if self.away:
            raise BrokerUnavailable("the broker does not answer")
        self.sent += orders

    def lengths(self, queues: Iterable[str]) -> dict[str, int]:
        if self.away:
            raise BrokerUnavailable("the broker does not answer")
        return {queue: self.strangers.get(queue, 0) for queue in queues}

    def close(self) -> None:
        pass


class FakeCgroupTree:
    """A folder that behaves like a cgroup v2 tree where `sandboxes.cgroups.unified` touches it.

    New groups come with their files, a group that hands controllers down must not have processes, and a
    process that enters a group leaves its old one.
    """

    def __init__(self, top, monkeypatch, controllers="cpu memory pids", processes=()):
        self.top = top
        self._mkdir, self._write, self._rmdir = Path.mkdir, Path.write_text, Path.rmdir
        monkeypatch.setattr(Path, "mkdir", lambda path, *a, **k: self._make(path, *a, **k))
        monkeypatch.setattr(Path, "write_text", lambda path, text: self._put(path, text))
        monkeypatch.setattr(Path, "rmdir", lambda path: self._remove(path))
        self._populate(top, controllers)
        self._write(top / "cgroup.procs", "".join(f"{pid}\n" for pid in processes))

    def _make(self, path, *arguments, **options):
        existed = path.is_dir()
        self._mkdir(path, *arguments, **options)
        if self.top in path.parents and not existed:
            self._populate(path, (path.parent / "cgroup.subtree_control").read_text())

    def _populate(self, folder, controllers):
        files = {"cgroup.controllers": controllers, "memory.events": "oom 2\noom_kill 2\n"}
        files |= {
            "memory.stat": "anon 4096\nfile 70000\nshmem 512\nanon_thp 0\n",
            "cpu.stat": "usage_usec 1500000\n",
        }
        files |= {"pids.events": "max 3\n", "memory.swap.max": "max"}
        empty = ("cgroup.procs", "cgroup.subtree_control", "cgroup.kill", "memory.max", "pids.max", "cpu.max")
        for name, text in (files | dict.fromkeys(empty, "")).items():
            self._write(folder / name, text)

    def _put(self, path, text):
        if path.name == "cgroup.subtree_control" and self.top in path.parents:
            if (path.parent / "cgroup.procs").read_text():
                raise OSError(errno.EBUSY, "Device or resource busy", str(path))
            text = text.replace("+", "")
        if path.name == "cgroup.procs" and self.top in path.parents:
            for file in self.top.rglob("cgroup.procs"):
                kept = [pid for pid in file.read_text().split() if pid != text]
                self._write(file, "".join(f"{pid}\n" for pid in kept))
            text = path.read_text() + f"{text}\n"
        if path.name == "cgroup.kill":
            self._write(path.parent / "cgroup.procs", "")
        self._write(path, text)

    def _remove(self, path):
        if any(child.is_dir() for child in path.iterdir()) or (path / "cgroup.procs").read_text():
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        for child in path.iterdir():
            child.unlink()
        self._rmdir(path)


# --- around one attempt -----------------------------------------------------------------------------


class ScriptedSandbox:
    """A sandbox whose guest is a function in a thread. Pipes, end and accounting are as the port says."""

    environment_digest = "digest"
    imports = True
    """Whether its guest comes so far that it waits for a job."""

    def __init__(self, script: Callable[["ScriptedSandbox"], None]) -> None:
        self.guest_reads, self.to_guest = os.pipe()
        self.from_guest, self.guest_writes = os.pipe()
        self.output, self.guest_prints = os.pipe()
        for descriptor in (self.to_guest, self.from_guest, self.output):
            os.set_blocking(descriptor, False)
        self.accounting = Usage(0.0, 0, 0, 0)
        self.data = Path(tempfile.mkdtemp(prefix="scripted-data-"))
        self.ended: Exit | None = None
        self.killed = threading.Event()
        self.closed = False
        self._script = threading.Thread(target=self._play, args=(script,), daemon=True)
        self._script.start()

    def _play(self, script: Callable[["ScriptedSandbox"], None]) -> None:
        with suppress(OSError):  # the host has hung up
            if self.imports:
                self.say(FrameKind.IMPORTED)
            script(self)

    def say(self, kind: int, payload: bytes = b"") -> None:
        """Send a frame as the guest."""
        self.say_bytes(HEADER.pack(kind, len(payload)) + payload)

    def say_bytes(self, content: bytes) -> None:
        os.write(self.guest_writes, content)

    def hear(self) -> tuple[int, bytes]:
        """Read a frame as the guest."""
        kind, length = HEADER.unpack(self._read(HEADER.size))
        return kind, self._read(length)

    def _read(self, length: int) -> bytes:
        content = b""
        while len(content) < length:
            chunk = os.read(self.guest_reads, length - len(content))
            if not chunk:
                raise OSError("the host has hung up")
            content += chunk
        return content

    def print(self, content: bytes) -> None:
        os.write(self.guest_prints, content)

    def leave(self, code: int | None = 0, signal: int | None = None) -> None:
        self.ended = Exit(code, signal)

    def usage(self) -> Usage:
        return self.accounting

    def exit(self) -> Exit | None:
        return self.ended

    def kill(self) -> None:
        self.killed.set()
        if self.ended is None:
            self.ended = Exit(None, 9)

    def close(self) -> None:
        self.kill()
        if not self.closed:
            self.closed = True
            os.close(self.to_guest)
            shutil.rmtree(self.data, ignore_errors=True)
            self._script.join(2)
            for descriptor in (
                self.guest_reads,
                self.from_guest,
                self.guest_writes,
                self.output,
                self.guest_prints,
            ):
                os.close(descriptor)


class ScriptedBackend:
    """A backend that starts scripted sandboxes, or says why it cannot."""

    name = "scripted"
    tier = IsolationTier.NAMESPACES
    forks = False

    def __init__(
        self, script: Callable[[ScriptedSandbox], None], broken: str = "", available: bool = True
    ) -> None:
        self.sandboxes: list[ScriptedSandbox] = []
        self.specs: list[SandboxSpec] = []
        self.closed = False
        self._script = script
        self._broken = broken
        self._available = available

    def probe(self) -> BackendReport:
        problems = () if self._available else ("no cgroups here",)
        return BackendReport(self.name, self.tier, self._available, problems)

    def launch(self, spec: SandboxSpec) -> ScriptedSandbox:
        if self._broken:
            raise SandboxUnavailable(self._broken)
        self.specs.append(spec)
        self.sandboxes.append(ScriptedSandbox(self._script))
        return self.sandboxes[-1]

    def close(self) -> None:
        self.closed = True


# --- around the agent -------------------------------------------------------------------------------


class FakeGatewayLink:
    """The gateway as one agent sees it: offers attempts, grants claims, counts heartbeats, takes reports."""

    def __init__(self, offered: list[AttemptSpec], lease_seconds: float = 0.25) -> None:
        self.reports: list[AttemptOutcome] = []
        self.released: list[str] = []
        self.phases: list[str] = []
        self.cancels = False
        self.trouble: dict[str, list[Exception]] = {}
        """By name of the call, what the next ones raise."""
        self.refused_claims: set[str] = set()
        self.claim_keys: list[str] = []
        self.idle = threading.Event()
        self._offered = list(offered)
        self._specs = {spec.attempt_id: spec for spec in offered}
        self._lease_seconds = lease_seconds

    def _may_fail(self, call: str) -> None:
        if self.trouble.get(call):
            raise self.trouble[call].pop(0)

    def next_attempt(self, agent_id: str, wait_seconds: float) -> str | None:
        self._may_fail("next_attempt")
        if not self._offered:
            self.idle.set()
            threading.Event().wait(0.01)
            return None
        return self._offered.pop(0).attempt_id

    def claim(self, agent_id: str, attempt_id: str, key: str) -> ClaimedAttempt | None:
        self.claim_keys.append(key)
        self._may_fail("claim")
        if attempt_id in self.refused_claims:
            return None
        return ClaimedAttempt(self._specs[attempt_id], f"token of {attempt_id}", self._lease_seconds)

    def heartbeat(self, lease: Lease, phase: str) -> bool:
        assert lease.token == f"token of {lease.attempt_id}"
        self.phases.append(phase)
        self._may_fail("heartbeat")
        return self.cancels

    def report(self, lease: Lease, outcome: AttemptOutcome) -> None:
        assert lease.token == f"token of {lease.attempt_id}"
        self._may_fail("report")
        self.reports.append(outcome)

    def release(self, lease: Lease) -> None:
        assert lease.token == f"token of {lease.attempt_id}"
        self._may_fail("release")
        self.released.append(lease.attempt_id)


class FakeRunnerLink:
    """The local runner as an agent sees it: finishes an attempt after some questions about it."""

    def __init__(self, questions: int = 2) -> None:
        self.running: dict[str, int] = {}
        self.deleted: list[str] = []
        self.trouble: dict[str, list[Exception]] = {}
        self.ready = True
        self._questions = questions

    def _may_fail(self, call: str) -> None:
        if self.trouble.get(call):
            raise self.trouble[call].pop(0)

    def capabilities(self) -> RunnerCapabilities:
        self._may_fail("capabilities")
        return capabilities() if self.ready else replace(capabilities(), tier=None)

    def put(self, spec: AttemptSpec) -> AttemptStatus:
        self._may_fail("put")
        self.running.setdefault(spec.attempt_id, self._questions)
        return AttemptStatus(spec.attempt_id, "running", "preparing")

    def status(self, attempt_id: str, wait_seconds: float) -> AttemptStatus | None:
        self._may_fail("status")
        if attempt_id not in self.running:
            return None
        threading.Event().wait(min(wait_seconds, 0.01))
        self.running[attempt_id] -= 1
        if self.running[attempt_id] > 0:
            return AttemptStatus(attempt_id, "running", "training")
        failure = Failure(FailureReason.TRAIN_ERROR, "as scripted")
        return AttemptStatus(
            attempt_id, "finished", "training", AttemptOutcome(attempt_id, 1, None, failure, None, None)
        )

    def delete(self, attempt_id: str) -> None:
        self._may_fail("delete")
        self.running.pop(attempt_id, None)
        self.deleted.append(attempt_id)


# --- around language models ---------------------------------------------------------------------------


class FakeChatModel:
    """A ChatModel that says prepared texts; what it was asked is kept in `asked`, call by call.

    An exception among the texts is raised in the place of an answer.
    """

    def __init__(self, *texts: str | Exception, backwards: bool = False, **fields) -> None:
        self.asked: list[tuple[tuple[ChatRequest, ...], Sampling]] = []
        self.unready: HeldUp | None = None
        self.closed = 0
        self._texts = list(texts)
        self._backwards = backwards
        self._fields = fields

    @property
    def requests(self) -> list[ChatRequest]:
        return [request for requests, _ in self.asked for request in requests]

    def check(self) -> None:
        if self.unready is not None:
            raise self.unready

    def answers(self, requests: Sequence[ChatRequest], sampling: Sampling) -> Iterator[ChatAnswer]:
        self.asked.append((tuple(requests), sampling))
        try:
            for request in reversed(requests) if self._backwards else requests:
                text = self._texts.pop(0)
                if isinstance(text, Exception):
                    raise text
                usual = {
                    "finish_reason": "stop",
                    "model": "fake/model",
                    "adapter": None,
                    "sampling": {"seed": request.seed, "temperature": sampling.temperature},
                    "prompt_tokens": 10,
                    "completion_tokens": 5,
                    "cost_usd": 0.001,
                    "seconds": 0.5,
                }
                yield ChatAnswer(key=request.key, text=text, **{**usual, **self._fields})
        finally:
            self.closed += 1


class FakeInbox:
    """The calls that a model's process hears; then it is ended."""

    def __init__(self, *calls: dict) -> None:
        self._calls = list(calls)

    def next_call(self) -> dict:
        if not self._calls:
            raise PowerCut
        return self._calls.pop(0)

    def is_cancelled(self, _call: int) -> bool:
        return False

    def forget(self, _call: int) -> None:
        return


def held_up(
    code: str = "endpoint_unreachable", *, retryable: bool = True, after: float | None = None
) -> HeldUp:
    return HeldUp(ProposerBlocked(code, f"it is {code}", "wait or mend it", retryable, after))
