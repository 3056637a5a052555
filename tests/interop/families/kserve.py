"""KServe's model server."""

import gzip
import json

from cases import errors, kserve_v1, oip_grpc, oip_rest, triton_http
from cases.errors import Mistake
from cases.pair import Pair
from harness.context import Context
from harness.ledger import Ledger, keys
from harness.sidecar import Route
from servers import kserve

INFER = "/v2/models/digits/infer"
OUTPUTS = ["predict", "predict_proba"]


def run(context: Context) -> None:
    """Two servers with a version each; it has no versions of its own."""
    one, two = kserve.start(context, "kserve-v1", "1"), kserve.start(context, "kserve-v2", "2")
    context.wait()
    rest = Route("digits", {"v1": one.http, "v2": two.http})
    grpc = Route("digits", {"v1": one.grpc, "v2": two.grpc})

    def predictions(ledger: Ledger) -> None:
        pair = Pair(ledger)
        kserve_v1.predictions(ledger, pair, context.rows)
        oip_rest.predictions(ledger, pair, context.rows)
        for key in keys(4, "header"):
            body = oip_rest.request(context.rows[:2], key)
            answer = pair.post(key, INFER, body, {"x-request-id": f"request-{key}"})
            seen = [output["data"] for output in answer.json()["outputs"] if output["name"] == "request-id"]
            ledger.check(seen == [[f"request-{key}"]], f"x-request-id arrived as {seen}")
        oip_rest.questions(pair, "/v2/models/digits", "/v2/models/digits/ready")
        pair.close()

    def clients(ledger: Ledger) -> None:
        for binary in (False, True):
            triton_http.run(ledger, context.rows, OUTPUTS, binary=binary)

    def mistakes(ledger: Ledger) -> None:
        request = oip_rest.request(context.rows[:2], "good")
        good = Mistake(INFER, request, 200, "ok")
        wide = Mistake(INFER, oip_rest.request([[0.0] * 3], "wide"), 500, "model")
        zipped = Mistake(
            INFER, gzip.compress(json.dumps(request).encode()), 400, "client", {"content-encoding": "gzip"}
        )
        bad = [
            wide,
            zipped,
            Mistake(INFER, b'{"inputs": [', 422, "client"),
            # Anything but JSON is taken for binary tensors: the content type has to arrive as it was.
            Mistake(INFER, json.dumps(request).encode(), 400, "client", {"content-type": "text/plain"}),
            Mistake("/v1/models/nobody:predict", {"instances": []}, 404, "client"),
            Mistake("/v2/models/digits/versions/1/infer", request, 501, "model"),
        ]
        pair = Pair(ledger)
        errors.interleaved(ledger, pair, bad, good)
        errors.rescued(ledger, pair, wide, good)
        pair.close()

    def calls(ledger: Ledger) -> None:
        sides = oip_grpc.Sides(ledger)
        oip_grpc.run(ledger, sides, context.rows)
        oip_grpc.mistakes(ledger, sides, context.rows, ("INTERNAL", "model"))
        sides.close()

    context.case("kserve rest", rest, predictions)
    context.case("kserve tritonclient http", rest, clients)
    context.case("kserve rest errors", rest, mistakes)
    context.case("kserve tritonclient grpc", grpc, calls)
