"""MLServer's streams over gRPC. Its messages are those of unary calls, which tritonclient's own streams are not."""

import queue
from collections.abc import Iterator
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb

from harness.http import PREDICTION_ID, VARIANT
from harness.ledger import Ledger, keys
from harness.sidecar import KEY_HEADER

from .metadata import Seen
from .oip_grpc import TIMEOUT_S, tensor_of_text

METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"


class Stream:
    """One bidirectional stream whose requests are sent one at a time."""

    def __init__(self, channel: grpc.Channel, key: str) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        call = channel.stream_stream(
            METHOD,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        metadata = ((KEY_HEADER, key), ("x-serinus-idempotent", "false"))
        self.call = call(iter(self._requests.get, None), metadata=metadata, timeout=TIMEOUT_S)

    def send(self, ident: str, version: str = "", **texts: str) -> None:
        tensors = [tensor_of_text(name, value) for name, value in texts.items()]
        self._requests.put(pb.ModelInferRequest(model_name="streams", model_version=version, id=ident, inputs=tensors))

    def done(self) -> None:
        """No more requests."""
        self._requests.put(None)

    def rest(self) -> list[Any]:
        """What is still to come, until the end or the error."""
        return list(self._quiet())

    def _quiet(self) -> Iterator[Any]:
        try:
            yield from self.call
        except grpc.RpcError:
            return


class Streams:
    """Streams through the sidecar and to each variant."""

    def __init__(self, ledger: Ledger, versions: dict[str, str] | None = None) -> None:
        self.ledger = ledger
        self.versions = versions or {}
        route = ledger.sidecar.route
        self._channels = {variant: grpc.insecure_channel(address) for variant, address in route.endpoints.items()}
        self._through = grpc.insecure_channel(ledger.sidecar.address)

    def open(self, key: str) -> Stream:
        return Stream(self._through, key)

    def compare(self, key: str, stream: Stream, got: list[Any], sent: list[dict[str, str]], kind: str = "ok") -> None:
        """Books a stream that has ended, and does the same without the sidecar."""
        seen = Seen(stream.call)
        variant = self.ledger.called(key, seen.header(VARIANT), seen.header(PREDICTION_ID), kind=kind)
        straight = Stream(self._channels[variant], key)
        for texts in sent:
            straight.send(key, self.versions.get(variant, ""), **texts)
        straight.done()
        self.ledger.same(f"{key}: messages", got, straight.rest())
        self.ledger.same(f"{key}: end", seen.end(), Seen(straight.call).end())

    def close(self) -> None:
        for channel in (self._through, *self._channels.values()):
            channel.close()


def run(ledger: Ledger, streams: Streams) -> None:
    """Whole streams, gated ones, conversations, and streams that fail in the middle."""
    for key in keys(12, "stream"):
        whole(streams, key, {"count": "20"})
        whole(streams, f"{key}-fails", {"count": "5", "fail": "3"}, kind="model")
        whole(streams, f"{key}-again", {"count": "3"})
    for key in keys(8, "gate"):
        gated(ledger, streams, key)
    for key in keys(8, "talk"):
        talk(ledger, streams, key)


def whole(streams: Streams, key: str, texts: dict[str, str], kind: str = "ok") -> None:
    stream = streams.open(key)
    stream.send(key, **texts)
    stream.done()
    streams.compare(key, stream, stream.rest(), [texts], kind)


def gated(ledger: Ledger, streams: Streams, key: str) -> None:
    """The server makes the rest only after a second request, which is sent when the first message has arrived."""
    first, second = {"count": "1"}, {"count": "3"}
    stream = streams.open(key)
    stream.send(key, **first)
    got = [next(stream.call)]
    ledger.check(got[0].id == key, f"{key}: id {got[0].id}")
    stream.send(key, **second)
    stream.done()
    got += stream.rest()
    streams.compare(key, stream, got, [first, second])


def talk(ledger: Ledger, streams: Streams, key: str) -> None:
    """A question at a time, each after the answer to the one before."""
    stream, sent, got = streams.open(key), [], []
    for _ in range(5):
        sent.append({"count": "1"})
        stream.send(key, **sent[-1])
        got.append(next(stream.call))
    stream.done()
    ledger.check(stream.rest() == [], f"{key}: more than was asked for")
    streams.compare(key, stream, got, sent)
