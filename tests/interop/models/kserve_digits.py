"""KServe's model server with one version of the digits, on loopback only."""

from typing import Any

import numpy as np
import uvicorn
from digits import train
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.protocol.grpc import server as grpc_server


class Digits(Model):
    """`predict` has the digits, `predict_proba` how sure the model is, `request-id` the caller's header."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(name)
        self.model = train(version)
        self.ready = True

    def predict(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None, _back: Any = None
    ) -> dict[str, Any] | InferResponse:
        if isinstance(payload, dict):
            return {"predictions": self.model.predict(np.array(payload["instances"])).tolist()}
        rows = payload.inputs[0].as_numpy()
        digits, scores = self.model.predict(rows).astype(np.int64), self.model.predict_proba(rows)
        seen = np.array([(headers or {}).get("x-request-id", "")], dtype=object)
        named = (("predict", "INT64", digits), ("predict_proba", "FP64", scores), ("request-id", "BYTES", seen))
        asked = {wanted.name for wanted in payload.request_outputs or []}
        outputs = []
        for name, kind, values in named:
            if name in asked or not asked:
                output = InferOutput(name, list(values.shape), kind)
                output.set_data_from_numpy(values, binary_data=payload.use_binary_outputs)
                outputs.append(output)
        return InferResponse(
            payload.id,
            self.name,
            outputs,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


class Loopback(uvicorn.Config):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "host": "127.0.0.1"})


def narrow() -> None:
    """KServe has no option for the address that it listens on."""
    uvicorn.Config = Loopback
    make = grpc_server.aio.server

    def server(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        listen = made.add_insecure_port
        made.add_insecure_port = lambda address: listen(address.replace("[::]", "127.0.0.1"))
        return made

    grpc_server.aio.server = server


if __name__ == "__main__":
    narrow()
    model_server.parser.add_argument("--version", required=True)
    version = model_server.parser.parse_args().version
    ModelServer().start([Digits("digits", version)])
