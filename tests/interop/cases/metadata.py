"""gRPC with nothing hidden: the metadata of every call is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from harness.http import PREDICTION_ID, VARIANT

# What one connection has, and what the sidecar adds.
LEFT_OUT = {VARIANT, PREDICTION_ID, "date"}
# MLServer makes a new one for every message.
OF_THE_MOMENT = {"ce-time"}


@dataclass
class Seen(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Metadata and status of the last call."""

    call: Any = field(default=None)

    def intercept_unary_unary(self, continuation: Callable, details: Any, request: Any) -> Any:
        self.call = continuation(details, request)
        return self.call

    def intercept_stream_stream(self, continuation: Callable, details: Any, requests: Any) -> Any:
        self.call = continuation(details, requests)
        return self.call

    def header(self, name: str) -> str | None:
        """Of the head; a failure that has nothing but trailers shows it there."""
        pairs = (*(self.call.initial_metadata() or ()), *(self.call.trailing_metadata() or ()))
        return dict(pairs).get(name)

    def end(self) -> tuple[Any, str, list[tuple[str, str]], list[tuple[str, str]]]:
        """What must be equal through the sidecar and without it, besides the messages."""
        left_out = LEFT_OUT | OF_THE_MOMENT

        def kept(pairs: Any) -> list[tuple[str, str]]:
            return sorted((name, value) for name, value in pairs or () if name not in left_out)

        call = self.call
        return call.code(), call.details() or "", kept(call.initial_metadata()), kept(call.trailing_metadata())
