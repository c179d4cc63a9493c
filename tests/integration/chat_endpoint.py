"""An OpenAI-compatible endpoint that answers every prompt with a delta that fits the baseline in it."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FIRST_LINES = re.compile(r"^class Net\(.*?\n        super\(\).__init__\(\)$", re.MULTILINE | re.DOTALL)


class ChatEndpoint:
    """Counts and keeps what it is asked; fails, refuses or babbles where it is told to."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.asked: list[dict] = []
        self.status = 200
        """Of every answer from now on; another than 200 is an error."""
        self.babbles_first = False
        """Whether each conversation begins with an answer that is no delta."""
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint._answer(self)

            def do_GET(self) -> None:
                _send(self, 200, "application/json", json.dumps({"data": [{"id": "parrot"}]}).encode())

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def prompts(self) -> list[str]:
        return [message["content"] for asked in self.asked for message in asked["messages"]]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["content-length"])))
        status = self.status if request.headers.get("authorization") == f"Bearer {self.key}" else 401
        if status != 200:
            error = json.dumps({"error": {"message": "not now", "code": "no"}}).encode()
            _send(request, status, "application/json", error)
            return
        with self._lock:
            self.asked.append(body)
            number = len(self.asked)
        prompt = "\n".join(message["content"] for message in body["messages"])
        is_first = len(body["messages"]) < 4
        text = "I would widen it." if self.babbles_first and is_first else _delta(prompt, number)
        chunks = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}]
        chunks.append({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10}})
        lines = [f"data: {json.dumps({'id': '1', **chunk})}\n\n" for chunk in chunks]
        _send(request, 200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())


def _delta(prompt: str, number: int) -> str:
    """A change of the network's first lines, which stand once in every baseline."""
    found = FIRST_LINES.search(prompt)
    kept = found.group().splitlines() if found else []
    lines = [*(f" {line}" for line in kept), f"+        self.grown = {number}"]
    text = "\n".join(lines)
    return f"Here it is:\n```diff\n--- a/net.py\n+++ b/net.py\n@@ -1 +1 @@\n{text}\n```\n"


def _send(request: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
    request.send_response(status)
    request.send_header("content-type", kind)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def shows_history(prompt: str) -> bool:
    """Whether a prompt tells of an earlier try and its outcome."""
    return bool(re.search(r"accuracy \d\d\.\d\d %, its baseline \d\d\.\d\d %", prompt))
