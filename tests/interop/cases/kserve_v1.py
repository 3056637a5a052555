"""KServe's first protocol: `/v1/models/NAME:predict`."""

from harness.ledger import Ledger, keys

from .oip_rest import batch
from .pair import Pair

PATH = "/v1/models/digits:predict"


def predictions(ledger: Ledger, pair: Pair, rows: list[list[float]]) -> None:
    for number, key in enumerate(keys(40, "v1") * 2):
        answer = pair.post(key, PATH, {"instances": batch(rows, number)})
        ledger.check(answer.status == 200, f"{key}: {answer.status} {answer.body!r}")
    for path in ("/v1/models", "/v1/models/digits"):
        pair.get(path)
