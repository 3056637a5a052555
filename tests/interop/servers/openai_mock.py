"""A language model behind LiteLLM that answers when and how the test says."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

GATE_S = 15.0
WORDS = ("To ", "be, ", "or ", "not ", "to ", "be: ", "ünïcode ", "✓")


class Backend(ThreadingHTTPServer):
    """The last message says what happens: `gate NAME` holds all but the first words back until `open_gate`, `cut
    NAME` ends the connection in the middle once the gate is open, `plain` does neither."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Chat)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    def open_gate(self, name: str) -> None:
        self.gates[name].set()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class Chat(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        what, _, name = asked["messages"][-1]["content"].partition(" ")
        for number, event in enumerate(events(asked["model"])):
            if what == "gate" and number == 2:
                self.server.gates[name].wait(GATE_S)
            if what == "cut" and number == 4:
                self.server.gates[name].wait(GATE_S)
                self.close_connection = True
                return
            self.part(event)
        self.wfile.write(b"0\r\n\r\n")

    def part(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def events(model: str) -> Iterator[bytes]:
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in (f"{model}: ", *WORDS)]
    for delta in deltas:
        yield event(model, [{"index": 0, "delta": delta, "finish_reason": None}])
    yield event(model, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
    usage = {"prompt_tokens": 3, "completion_tokens": len(WORDS) + 1, "total_tokens": len(WORDS) + 4}
    yield event(model, [], usage)
    yield b"data: [DONE]\n\n"


def event(model: str, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices}
    if usage:
        chunk["usage"] = usage
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
