"""MLflow's scoring server: no name, no version and no id anywhere."""

from typing import Any

from harness.ledger import Ledger, keys
from harness.sidecar import STABLE

from .errors import Mistake
from .oip_rest import batch
from .pair import Pair

PATH = "/invocations"


def predictions(ledger: Ledger, pair: Pair, rows: list[list[float]]) -> None:
    """Every format of a request, every key twice."""
    for number, key in enumerate(keys(40) * 2):
        some = rows[number * 7 % 600 :][:40]
        columns = [f"p{column}" for column in range(len(some[0]))]
        bodies: list[Any] = [
            {"inputs": some},
            {"instances": some},
            {"dataframe_split": {"columns": columns, "data": some}},
        ]
        answer = pair.post(key, PATH, bodies[number % len(bodies)])
        ledger.check(len(answer.json()["predictions"]) == len(some), f"{key}: {answer.status} {answer.body!r}")
    for key in keys(6, "csv"):
        lines = [",".join(columns), *(",".join(map(str, row)) for row in batch(rows, 1))]
        answer = pair.post(key, PATH, "\n".join(lines).encode(), {"content-type": "text/csv"})
        ledger.check(answer.status == 200, f"{key}: {answer.status} {answer.body!r}")
    for path in ("/ping", "/health", "/version"):
        answer = pair.get(path)
        ledger.check(answer.status == 200 and answer.variant == STABLE, f"{path}: {answer.status}")


def mistakes(thrown: str) -> list[Mistake]:
    """`thrown`: the class of a 400 that says that the model itself threw."""
    return [
        Mistake(PATH, {"inputs": [[1.0, 2.0]]}, 400, thrown),
        Mistake(PATH, b'{"inputs": [[', 400, "client"),
        Mistake(PATH, {"nothing": 1}, 400, "client"),
        Mistake(PATH, b"x", 415, "client", {"content-type": "text/plain"}),
    ]
