"""Event streams over HTTP: unchanged, unbuffered, and cut where the server cuts them."""

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.http import PREDICTION_ID, VARIANT, Answer, Connection, once
from harness.ledger import Ledger, keys
from harness.sidecar import KEY_HEADER

EVENT_STREAM = "text/event-stream"


@dataclass
class Events:
    """An event stream that was read as far as it went."""

    head: Answer
    events: list[bytes]
    whole: bool
    """It ended as HTTP says, not in the middle of nowhere."""

    def comparable(self) -> tuple[Any, list[bytes], bool]:
        return self.head.comparable(), self.events, self.whole


def read(
    address: str,
    path: str,
    body: Any,
    key: str,
    after_first: Callable[[str | None], None] | None = None,
    headers: dict[str, str] | None = None,
) -> Events:
    """Reads a stream event by event. `after_first` is called with the variant's name once one event is here."""
    connection = Connection(address)
    own = {"content-type": "application/json", KEY_HEADER: key, "x-serinus-idempotent": "false"}
    response = connection.open("POST", path, json.dumps(body).encode(), {**own, **(headers or {})})
    head = Answer(response.status, tuple(response.getheaders()), b"")
    events: list[bytes] = []
    whole = True
    try:
        for event in split(response):
            events.append(event)
            if len(events) == 1 and after_first is not None:
                after_first(head.variant)
    except (http.client.HTTPException, OSError):
        whole = False
    connection.close()
    return Events(head, events, whole)


def split(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Bytes up to and with each blank line, as soon as they are here; raises where the body is cut."""
    waiting = b""
    while part := response.read1():
        waiting += part
        while (end := waiting.find(b"\n\n")) >= 0:
            yield waiting[: end + 2]
            waiting = waiting[end + 2 :]
    if waiting:
        yield waiting


def text(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}


def request(ident: str, **texts: str) -> dict[str, Any]:
    return {"id": ident, "inputs": [text(name, value) for name, value in texts.items()]}


def compare(
    ledger: Ledger, path: Callable[[str], str], key: str, texts: dict[str, str], *, kind: str = "ok", gate: str = ""
) -> Events:
    """A stream through the sidecar and straight. `path` gives a variant's own path, and the common one for no name."""
    endpoints = ledger.sidecar.route.endpoints

    def open_gate(variant: str | None) -> None:
        body = json.dumps(request("gate", gate=gate)).encode()
        answer = once(
            endpoints[variant or ""],
            "POST",
            path(variant or "").replace("infer_stream", "infer"),
            body,
            {"content-type": "application/json"},
        )
        ledger.check(answer.status == 200, f"{key}: the gate did not open: {answer.status}")

    texts = {**texts, "gate": gate} if gate else texts
    got = read(ledger.sidecar.address, path(""), request(key, **texts), key, open_gate if gate else None)
    variant = ledger.called(key, got.head.header(VARIANT), got.head.header(PREDICTION_ID), kind=kind)
    # The gate stays open.
    want = read(endpoints[variant], path(variant), request(key, **texts), key)
    ledger.same(f"{key}: stream", got.comparable(), want.comparable())
    ledger.check(got.head.header("content-type").startswith(EVENT_STREAM), f"{key}: {got.head.headers}")
    return got


def run(ledger: Ledger, path: Callable[[str], str]) -> None:
    """Whole streams, gated ones, and streams that the server cuts."""
    for key in keys(15, "sse"):
        got = compare(ledger, path, key, {"count": "30"})
        ledger.check(len(got.events) == 30 and got.whole, f"{key}: {len(got.events)} events, whole: {got.whole}")
        got = compare(ledger, path, f"{key}-gate", {"count": "4"}, gate=f"{key}-gate")
        ledger.check(len(got.events) == 4 and got.whole, f"{key}: {len(got.events)} events behind the gate")
        got = compare(ledger, path, f"{key}-cut", {"count": "5", "fail": "3"}, kind="model")
        ledger.check(len(got.events) == 3 and not got.whole, f"{key}: {len(got.events)} events, whole: {got.whole}")
        compare(ledger, path, f"{key}-after", {"count": "2"})
