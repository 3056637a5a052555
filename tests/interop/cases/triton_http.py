"""tritonclient over HTTP: what its users do with it."""

from typing import Any

import numpy as np
import tritonclient.http as triton

from harness.http import PREDICTION_ID, VARIANT
from harness.ledger import Ledger, keys
from harness.sidecar import KEY_HEADER, STABLE

from .oip_rest import batch


class Client(triton.InferenceServerClient):
    """Keeps the headers of the last answer, which tritonclient does not show."""

    last: Any = None

    def _post(self, *args: Any, **kwargs: Any) -> Any:
        self.last = super()._post(*args, **kwargs)
        return self.last


def result(
    client: Client,
    key: str,
    ident: str,
    tensor: np.ndarray,
    outputs: list[str],
    *,
    binary: bool,
    compression: str | None,
    version: str = "",
) -> triton.InferResult:
    """One call."""
    given = triton.InferInput("x", list(tensor.shape), "FP64")
    given.set_data_from_numpy(tensor, binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in outputs]
    return client.infer(
        "digits",
        [given],
        model_version=version,
        request_id=ident,
        outputs=wanted,
        # Without one KServe takes JSON for binary tensors.
        headers={KEY_HEADER: key} | ({} if binary else {"content-type": "application/json"}),
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )


def run(
    ledger: Ledger,
    rows: list[list[float]],
    outputs: list[str],
    *,
    binary: bool = False,
    compression: str | None = None,
    versions: dict[str, str] | None = None,
    count: int = 40,
) -> None:
    """Every key twice, compared with the variant's own answer, tensors and all. `versions`: variant to the version that
    a rewrite names in the request."""
    versions = versions or {}
    through = Client(ledger.sidecar.address)
    direct = {variant: Client(address) for variant, address in ledger.sidecar.route.endpoints.items()}
    ledger.check(through.is_server_live() and through.is_model_ready("digits"), "not live or not ready")
    stable = direct[STABLE].get_model_metadata("digits", versions.get(STABLE, ""))
    ledger.same("metadata", through.get_model_metadata("digits"), stable)
    prefix = f"triton-{'binary' if binary else 'json'}-{compression}"
    for number, key in enumerate(keys(count, prefix) * 2):
        tensor, ident = np.array(batch(rows, number)), f"{prefix}-{number}"
        got = result(through, key, ident, tensor, outputs, binary=binary, compression=compression)
        headers = through.last
        variant = ledger.called(key, headers.get(VARIANT), headers.get(PREDICTION_ID))
        version = versions.get(variant, "")
        want = result(
            direct[variant], key, ident, tensor, outputs, binary=binary, compression=compression, version=version
        )
        ledger.same(f"{ident}: answer", got.get_response(), want.get_response())
        ledger.check(got.get_response()["id"] == ident, f"{ident} became {got.get_response().get('id')}")
        for name in outputs:
            ledger.same(f"{ident}: {name}", got.as_numpy(name).tolist(), want.as_numpy(name).tolist())
        length = "inference-header-content-length"
        ledger.same(f"{ident}: {length}", headers.get(length), direct[variant].last.get(length))
        ledger.check(bool(headers.get(length)) == binary, f"{ident}: {length} is {headers.get(length)}")
    for client in (through, *direct.values()):
        client.close()
