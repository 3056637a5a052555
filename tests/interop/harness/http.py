"""HTTP/1.1 with nothing hidden: header order, compressed bodies and closed connections stay visible."""

import gzip
import http.client
import json
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 20.0

VARIANT = "x-serinus-variant"
PREDICTION_ID = "x-serinus-prediction-id"

# Headers that the sidecar adds, and those that belong to one connection (RFC 9110, 7.6.1).
DOCUMENTED = {VARIANT, PREDICTION_ID, "connection", "keep-alive", "transfer-encoding"}
# Headers that differ between two answers of the same server.
OF_THE_MOMENT = {
    "date",
    "llm_provider-date",
    "ce-time",
    "ce-id",
    "ce-requestid",
    "x-litellm-call-id",
    "x-litellm-response-duration-ms",
    "x-litellm-overhead-duration-ms",
    "x-litellm-callback-duration-ms",
    "x-litellm-timing-llm-api-ms",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def variant(self) -> str | None:
        return self.header(VARIANT)

    @property
    def prediction_id(self) -> str | None:
        return self.header(PREDICTION_ID)

    def content(self) -> bytes:
        """The body without its content coding."""
        return gzip.decompress(self.body) if self.header("content-encoding") == "gzip" else self.body

    def json(self) -> Any:
        return json.loads(self.content())

    def comparable(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """What must be equal through the sidecar and without it: the order of headers counts, their case does not."""
        left_out = DOCUMENTED | OF_THE_MOMENT
        # The time is part of what gzip writes: its length may differ by a byte or two.
        if self.header("content-encoding") == "gzip":
            left_out = left_out | {"content-length"}
        kept = [(key.lower(), value) for key, value in self.headers if key.lower() not in left_out]
        return self.status, kept, self.content()


class Connection:
    """One kept-alive connection, opened anew when the other side says that it closes it."""

    def __init__(self, address: str) -> None:
        self._http = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        self.opened = 0

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request. An error of the connection is the caller's to see: nothing is tried again."""
        response = self.open(method, path, body, headers)
        return Answer(response.status, tuple(response.getheaders()), response.read())

    def open(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """One request, as far as the head of its answer."""
        if self._http.sock is None:
            self._http.connect()
            self.opened += 1
        self._http.request(method, path, body, headers or {})
        return self._http.getresponse()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """A JSON request; `body` is encoded unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", path, data, {"content-type": "application/json", **(headers or {})})

    def close(self) -> None:
        self._http.close()


def once(
    address: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """A request on a connection of its own."""
    connection = Connection(address)
    try:
        return connection.call(method, path, body, headers)
    finally:
        connection.close()


def is_ok(address: str, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return once(address, "GET", path).status == 200
    except (OSError, http.client.HTTPException):
        return False
