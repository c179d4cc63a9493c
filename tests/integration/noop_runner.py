"""A runner that runs nothing: it speaks the runner's HTTP surface, and every attempt soon succeeds."""

import json
import threading
import time
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from fakes import capabilities, outcome
from pydantic import TypeAdapter

from contracts.jobs import AttemptSpec, AttemptStatus

_SPEC = TypeAdapter(AttemptSpec)
_STATUS = TypeAdapter(AttemptStatus)


class NoopRunner:
    """Starts at once. `runs`: how often each attempt was started; `most`: how many ran at a time."""

    def __init__(self, seconds=0.0, **offered):
        self.seconds = seconds
        self.offered = capabilities(**offered)
        self.runs = {}
        self.headers = []
        self.most = 0
        self._running = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def finish(self):
        """Let everything that runs end now."""
        with self._lock:
            for attempt_id, (spec, _) in self._running.items():
                self._running[attempt_id] = (spec, time.monotonic())

    def running(self):
        with self._lock:
            return [attempt_id for attempt_id in self._running if not self._is_over(attempt_id)]

    def answer(self, method, path, query, body):
        """Status and document."""
        attempt_id = path.removeprefix("/v1/attempts").strip("/")
        if path == "/v1/capabilities":
            return 200, TypeAdapter(type(self.offered)).dump_python(self.offered, mode="json")
        if path == "/v1/attempts":
            with self._lock:
                return 200, {"items": [{"attempt_id": known} for known in self._running]}
        if method == "PUT":
            return 202, self._put(_SPEC.validate_json(body))
        if method == "DELETE":
            with self._lock:
                self._running.pop(attempt_id, None)
            return 204, None
        return self._status(attempt_id, float(query.get("wait", ["0"])[0]))

    def _put(self, spec):
        with self._lock:
            if spec.attempt_id not in self._running:
                self._running[spec.attempt_id] = (spec, time.monotonic() + self.seconds)
                self.runs[spec.attempt_id] = self.runs.get(spec.attempt_id, 0) + 1
                self.most = max(self.most, sum(not self._is_over(known) for known in self._running))
        return _STATUS.dump_python(AttemptStatus(spec.attempt_id, "running", "training"), mode="json")

    def _status(self, attempt_id, wait):
        give_up = time.monotonic() + wait
        while True:
            with self._lock:
                if attempt_id not in self._running:
                    return 404, {"code": "attempt_unknown"}
                spec, _ = self._running[attempt_id]
                over = self._is_over(attempt_id)
            if over:
                done = outcome(spec)
                done = replace(done, isolation=replace(done.isolation, tier=self.offered.tier))
                status = AttemptStatus(attempt_id, "finished", "training", done)
                return 200, _STATUS.dump_python(status, mode="json")
            if time.monotonic() >= give_up:
                return 200, asdict(AttemptStatus(attempt_id, "running", "training"))
            time.sleep(0.01)

    def _is_over(self, attempt_id):
        return time.monotonic() >= self._running[attempt_id][1]


def _handler(runner):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            runner.headers.append(dict(self.headers))
            where = urlsplit(self.path)
            status, document = runner.answer(self.command, where.path, parse_qs(where.query), body)
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_DELETE = _serve

        def log_message(self, *args):
            pass

    return Handler
