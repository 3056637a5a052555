"""Open Inference Protocol over REST, byte by byte."""

import gzip
import json
from typing import Any

from harness.ledger import Ledger, keys

from .pair import Pair

BATCH = 5


def tensor(rows: list[list[float]], name: str = "x") -> dict[str, Any]:
    """Rows as an input; JSON of full precision."""
    flat = [value for row in rows for value in row]
    return {"name": name, "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat}


def request(rows: list[list[float]], ident: str, *, outputs: tuple[str, ...] = ()) -> dict[str, Any]:
    """A whole request."""
    body: dict[str, Any] = {"id": ident, "inputs": [tensor(rows)]}
    if outputs:
        body["outputs"] = [{"name": name} for name in outputs]
    return body


def batch(rows: list[list[float]], number: int) -> list[list[float]]:
    """A few rows, others for each number."""
    at = number * BATCH % (len(rows) - BATCH)
    return rows[at : at + BATCH]


def predictions(ledger: Ledger, pair: Pair, rows: list[list[float]], outputs: tuple[str, ...] = ("predict",)) -> None:
    """Every key twice: answers, ids, versions and keys hold."""
    for number, key in enumerate(keys(60) * 2):
        ident = f"id-{number}"
        answer = pair.post(key, "/v2/models/digits/infer", request(batch(rows, number), ident, outputs=outputs))
        ledger.check(answer.status == 200 and answer.json()["id"] == ident, f"{ident}: {answer.status} {answer.body!r}")
        version = answer.json().get("model_version")
        ledger.check(
            version in (None, (answer.variant or "").removeprefix("v")), f"{key}: {answer.variant} has {version}"
        )


def compressed(ledger: Ledger, pair: Pair, rows: list[list[float]]) -> None:
    """gzip both ways: the coding of a body is nobody's business on the way."""
    for number, key in enumerate(keys(12, "zip")):
        body = json.dumps(request(rows[:40], f"zip-{number}", outputs=("predict", "predict_proba"))).encode()
        headers = {"accept-encoding": "gzip"}
        if number % 2:
            body, headers["content-encoding"] = gzip.compress(body), "gzip"
        answer = pair.post(key, "/v2/models/digits/infer", body, headers)
        ledger.check(answer.header("content-encoding") == "gzip", f"{key}: the answer is not compressed")
        ledger.check(len(answer.json()["outputs"]) == 2, f"{key}: {answer.status}")


def large(ledger: Ledger, pair: Pair) -> None:
    """Bodies of some megabytes both ways."""
    for number, key in enumerate(keys(4, "large")):
        values = [0.1 * number + position for position in range(200_000)]
        body = {"id": key, "inputs": [{"name": "x", "shape": [len(values)], "datatype": "FP64", "data": values}]}
        answer = pair.post(key, "/v2/models/echo/infer", body)
        ledger.check(answer.json()["outputs"][1]["data"] == values, f"{key}: other values came back")


def passed_on(ledger: Ledger, pair: Pair) -> None:
    """Headers of the application reach the model; those of the sidecar do not."""
    for key in keys(4, "header"):
        sent = {"x-request-id": f"request-{key}", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "X-Odd": "ü; a=b"}
        sent = {name: value.encode().decode("latin-1") for name, value in sent.items()}
        body = {"id": key, "inputs": []}
        answer = pair.post(key, "/v2/models/echo/infer", body, {**sent, "x-serinus-forged": "1"}, rescue=True)
        got = answer.json()["outputs"][0]["data"]
        ledger.check(f"x-request-id: request-{key}" in got, f"x-request-id did not arrive: {got}")
        ledger.check(any(line.startswith("traceparent: 00-aaa") for line in got), f"no traceparent in {got}")
        ledger.check(not any(line.startswith("x-serinus-") for line in got), f"our own headers arrived: {got}")


def questions(pair: Pair, *paths: str) -> None:
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", *paths):
        pair.get(path)
