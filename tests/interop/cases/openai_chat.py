"""The openai client against LiteLLM: whole answers, streams, usage and errors."""

import re
from collections.abc import Callable
from typing import Any

import openai

from harness.http import PREDICTION_ID, VARIANT
from harness.ledger import Ledger, keys, variant_of
from harness.sidecar import KEY_HEADER, STABLE
from servers.litellm import KEY

from . import sse

PATH = "/v1/chat/completions"
# LiteLLM makes these anew for each answer.
MADE = re.compile(rb'"(id|created)": ?("chatcmpl-[0-9a-f-]{36}"|\d{10})')


def without_made(event: bytes) -> bytes:
    return MADE.sub(rb'"\1": made', event)


class Clients:
    """The client through the sidecar and to each variant; it never tries again."""

    def __init__(self, ledger: Ledger, suffixes: dict[str, str] | None = None) -> None:
        self.ledger = ledger
        self.suffixes = suffixes or {}
        """Variant to what a rewrite appends to the model's name."""
        self.through = client(ledger.sidecar.address)
        self.direct = {variant: client(address) for variant, address in ledger.sidecar.route.endpoints.items()}

    def model(self, variant: str, name: str) -> str:
        return name + self.suffixes.get(variant, "")

    def ask(self, key: str, text: str, **more: Any) -> Any:
        """A whole answer, compared."""
        got = create(self.through, key, "chat", text, **more)
        variant = self.ledger.called(key, got.headers.get(VARIANT), got.headers.get(PREDICTION_ID))
        want = create(self.direct[variant], key, self.model(variant, "chat"), text, **more)
        self.ledger.same(f"{key}: answer", plain(got.parse()), plain(want.parse()))
        return got.parse()

    def stream(
        self, key: str, model: str, text: str, after_first: Callable[[], None] | None = None, **more: Any
    ) -> list[Any]:
        """A streamed answer, compared chunk by chunk."""
        got = create(self.through, key, model, text, stream=True, **more)
        chunks = []
        for chunk in got.parse():
            chunks.append(plain(chunk))
            if len(chunks) == 1 and after_first is not None:
                after_first()
        variant = self.ledger.called(key, got.headers.get(VARIANT), got.headers.get(PREDICTION_ID))
        want = create(self.direct[variant], key, self.model(variant, model), text, stream=True, **more)
        self.ledger.same(f"{key}: chunks", chunks, [plain(chunk) for chunk in want.parse()])
        return chunks

    def fails(self, key: str, model: str, kind: str, *, rescue: bool = False) -> int:
        """A call that the server refuses; its status."""
        got = failure(self.through, key, model, rescue=rescue)
        rescued = rescue and kind in ("model", "overload")
        rescued = rescued and variant_of(self.ledger.sidecar.route.salt, key) != STABLE
        headers = got.response.headers
        variant = self.ledger.called(key, headers.get(VARIANT), headers.get(PREDICTION_ID), kind=kind, rescued=rescued)
        want = failure(self.direct[variant], key, self.model(variant, model), rescue=True)
        self.ledger.same(f"{key}: error", (got.status_code, got.body), (want.status_code, want.body))
        return got.status_code


def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key=KEY, max_retries=0, timeout=30)


def create(of: openai.OpenAI, key: str, model: str, text: str, *, rescue: bool = False, **more: Any) -> Any:
    headers = {KEY_HEADER: key} | ({} if rescue else {"x-serinus-idempotent": "false"})
    messages = [{"role": "user", "content": text}]
    return of.chat.completions.with_raw_response.create(model=model, messages=messages, extra_headers=headers, **more)


def failure(of: openai.OpenAI, key: str, model: str, *, rescue: bool) -> openai.APIStatusError:
    try:
        create(of, key, model, "anything", rescue=rescue)
    except openai.APIStatusError as error:
        return error
    raise AssertionError(f"{model} did not fail")


def plain(answer: Any) -> dict[str, Any]:
    """An answer or a chunk without what is made anew for each."""
    found = answer.model_dump()
    return {name: value for name, value in found.items() if name not in ("id", "created")}


def run(ledger: Ledger, clients: Clients, open_gate: Callable[[str], None]) -> None:
    """What applications do with a language model."""
    for key in keys(40, "chat"):
        answer = clients.ask(key, "hello")
        variant = variant_of(ledger.sidecar.route.salt, key)
        ledger.check(variant in (answer.choices[0].message.content or ""), f"{key}: {answer.choices}")
    for key in keys(10, "stream"):
        chunks = clients.stream(key, "chat", "hello", stream_options={"include_usage": True})
        ledger.check(any(chunk.get("usage") for chunk in chunks), f"{key}: no usage")
        clients.stream(key, "told", "plain hello")
    for key in keys(8, "gate"):
        chunks = clients.stream(key, "told", f"gate {key}", lambda key=key: open_gate(key))
        ledger.check(len(chunks) > 3, f"{key}: {len(chunks)} chunks")


def rewritten(ledger: Ledger, clients: Clients) -> None:
    """Both variants in one proxy: the model's name in the body tells them apart."""
    for key in keys(40, "renamed"):
        answer = clients.ask(key, "hello")
        variant = variant_of(ledger.sidecar.route.salt, key)
        ledger.check(variant in (answer.choices[0].message.content or ""), f"{key}: {answer.choices}")
    for key in keys(8, "renamed-stream"):
        clients.stream(key, "chat", "hello", stream_options={"include_usage": True})


def mistakes(ledger: Ledger, clients: Clients) -> None:
    """Errors of every kind, with good calls between them."""
    for key in keys(6, "mistake"):
        for model, kind, status in (("nobody", "client", 400), ("busy", "overload", 429), ("broken", "model", 500)):
            for rescue in (False, True):
                got = clients.fails(key, model, kind, rescue=rescue)
                ledger.check(got == status, f"{model}: {got}")
                clients.ask(key, "hello")
                clients.ask(key, "hello")


def raw(ledger: Ledger, open_gate: Callable[[str], None]) -> None:
    """The bytes of streams, with what the client hides: the end, and how a stream breaks off."""
    for key in keys(10, "raw"):
        for number, (what, kind) in enumerate((("plain", "ok"), ("cut", "model"), ("plain", "ok"))):
            got = told(ledger.sidecar.address, key, f"{what} {key}-{number}-through", open_gate)
            variant = ledger.called(key, got.head.header(VARIANT), got.head.header(PREDICTION_ID), kind=kind)
            want = told(ledger.sidecar.route.endpoints[variant], key, f"{what} {key}-{number}-direct", open_gate)
            ledger.same(f"{key}: {what} stream", got.comparable(), want.comparable())
            if what == "plain":
                ledger.check(got.events[-1] == b"data: [DONE]\n\n", f"{key}: the last event is {got.events[-1]!r}")


def told(address: str, key: str, text: str, open_gate: Callable[[str], None]) -> sse.Events:
    """A raw stream of the backend's; its gate is opened as soon as something has arrived."""
    body = {"model": "told", "stream": True, "messages": [{"role": "user", "content": text}]}
    gate = text.partition(" ")[2]
    found = sse.read(address, PATH, body, key, lambda _: open_gate(gate), {"authorization": f"Bearer {KEY}"})
    found.events = [without_made(event) for event in found.events]
    return found
