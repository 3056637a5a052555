"""Open Inference Protocol over gRPC: tritonclient for what it offers, plain stubs for what it hides."""

from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from harness.http import PREDICTION_ID, VARIANT
from harness.ledger import Ledger, keys, variant_of
from harness.sidecar import KEY_HEADER, STABLE

from .metadata import Seen
from .oip_rest import batch

TIMEOUT_S = 20.0


@dataclass
class Side:
    """tritonclient on one address, with what it saw."""

    address: str
    seen: Seen = field(default_factory=Seen)
    client: triton.InferenceServerClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = triton.InferenceServerClient(self.address)
        channel = grpc.intercept_channel(self.client._channel, self.seen)
        self.client._client_stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def infer(
        self,
        key: str,
        ident: str,
        tensor: np.ndarray,
        *,
        model: str = "digits",
        compression: str | None = None,
        headers: dict[str, str] | None = None,
        version: str = "",
    ) -> Any:
        """The answer as a message, or the status of the error."""
        given = triton.InferInput("x", list(tensor.shape), "FP64")
        given.set_data_from_numpy(tensor)
        try:
            answer = self.client.infer(
                model,
                [given],
                model_version=version,
                request_id=ident,
                headers={KEY_HEADER: key, **(headers or {})},
                client_timeout=TIMEOUT_S,
                compression_algorithm=compression,
            )
        except InferenceServerException as error:
            return error.status()
        return answer.get_response()


class Sides:
    """tritonclient through the sidecar and to each variant."""

    def __init__(self, ledger: Ledger, versions: dict[str, str] | None = None) -> None:
        route = ledger.sidecar.route
        self.ledger = ledger
        self.through = Side(ledger.sidecar.address)
        self.direct = {variant: Side(address) for variant, address in route.endpoints.items()}
        self.versions = versions or {}
        """Variant to the version that a rewrite names in the request."""

    def infer(
        self,
        key: str,
        ident: str,
        tensor: np.ndarray,
        *,
        model: str = "digits",
        kind: str = "ok",
        rescue: bool = False,
        compression: str | None = None,
    ) -> Any:
        """Both calls, compared and booked."""
        seen = self.through.seen
        own = {} if rescue else {"x-serinus-idempotent": "false"}
        got = self.through.infer(key, ident, tensor, model=model, compression=compression, headers=own)
        rescued = rescue and kind == "model" and variant_of(self.ledger.sidecar.route.salt, key) != STABLE
        variant = self.ledger.called(key, seen.header(VARIANT), seen.header(PREDICTION_ID), kind=kind, rescued=rescued)
        side = self.direct[variant]
        version = self.versions.get(variant, "")
        want = side.infer(key, ident, tensor, model=model, compression=compression, version=version)
        self.ledger.same(f"{ident}: answer", got, want)
        self.ledger.same(f"{ident}: status and metadata", seen.end(), side.seen.end())
        return got

    def close(self) -> None:
        for side in (self.through, *self.direct.values()):
            side.client.close()


def run(ledger: Ledger, sides: Sides, rows: list[list[float]]) -> None:
    """Every key twice; ids, versions, metadata and large messages."""
    ledger.check(sides.through.client.is_server_live(), "not live")
    ledger.check(sides.through.client.is_model_ready("digits"), "not ready")
    want = sides.direct[STABLE].client.get_model_metadata("digits", sides.versions.get(STABLE, ""))
    ledger.same("metadata", sides.through.client.get_model_metadata("digits"), want)
    for number, key in enumerate(keys(60, "grpc") * 2):
        answer = sides.infer(key, f"grpc-{number}", np.array(batch(rows, number)))
        ledger.check(answer.id == f"grpc-{number}", f"grpc-{number} became {answer.id}")
    # A rewrite cannot be written into a compressed message: such calls are refused, as documented.
    if not sides.versions:
        for key in keys(6, "grpc-gzip"):
            sides.infer(key, key, np.array(rows[:200]), compression="gzip")


def large(sides: Sides) -> None:
    """Messages of some megabytes."""
    for number, key in enumerate(keys(4, "grpc-large")):
        sides.infer(key, key, np.arange(400_000, dtype=np.float64) + number / 7, model="echo")


def mistakes(ledger: Ledger, sides: Sides, rows: list[list[float]], wrong: tuple[str, str]) -> None:
    """Errors arrive as they are; those of a canary are rescued where that is allowed. `wrong`: status and class of a
    tensor of the wrong width."""
    status, kind = wrong
    good = np.array(rows[:2])
    for round_ in range(3):
        for key in keys(4, f"wrong-{round_}"):
            for rescue in (False, True):
                got = sides.infer(key, key, np.zeros((1, 3)), kind=kind, rescue=rescue)
                ledger.check(got == f"StatusCode.{status}", f"wrong width: {got}")
                sides.infer(key, f"{key}-good", good)
                sides.infer(key, f"{key}-good", good)
            got = sides.infer(key, key, good, model="nobody", kind="client")
            ledger.check(got == "StatusCode.NOT_FOUND", f"unknown model: {got}")
            sides.infer(key, f"{key}-good", good)


def tensor_of_text(name: str, value: str) -> Any:
    """A text as the message has it."""
    contents = pb.InferTensorContents(bytes_contents=[value.encode()])
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=[1], contents=contents)
