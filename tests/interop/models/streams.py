"""An MLServer runtime that streams under the caller's control, and one that tells what reached it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

GATE_S = 15.0


def text(request: InferenceRequest, name: str) -> str | None:
    """The first element of a text input."""
    for tensor in request.inputs:
        if tensor.name == name:
            return StringCodec.decode_input(tensor)[0]
    return None


class Streams(MLModel):
    """`count` answers per request of a stream.

    With `gate`, all but the first wait until a unary call has named the same gate; with `fail`, an exception ends the
    stream after that many answers.
    """

    async def load(self) -> bool:
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        gate = text(payload, "gate")
        if gate is not None:
            self._gates[gate].set()
        return self._answer("opened", gate or "")

    async def predict_stream(self, payloads: AsyncIterator[InferenceRequest]) -> AsyncIterator[InferenceResponse]:
        async for payload in payloads:
            count, fail, gate = (text(payload, name) for name in ("count", "fail", "gate"))
            for number in range(int(count or "1")):
                if fail is not None and number == int(fail):
                    raise RuntimeError("meant to fail")
                if gate is not None and number == 1:
                    await asyncio.wait_for(self._gates[gate].wait(), GATE_S)
                yield self._answer("token", f"{self.version}-{number}-ü")

    def _answer(self, name: str, value: str) -> InferenceResponse:
        output: ResponseOutput = StringCodec.encode_output(name, [value])
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])


class Echo(MLModel):
    """Answers with the headers that the server got, and with tensors as they came."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        headers = (payload.parameters and payload.parameters.headers) or {}
        lines = [f"{name}: {value}" for name, value in sorted(headers.items())]
        outputs = [StringCodec.encode_output("headers", lines)]
        for tensor in payload.inputs:
            if tensor.datatype == "FP64":
                outputs.append(NumpyCodec.encode_output(tensor.name, NumpyCodec.decode_input(tensor)))
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
