"""MLServer."""

from cases import errors, grpc_streams, oip_grpc, oip_rest, sse, triton_http
from cases.errors import Mistake
from cases.pair import Pair
from harness.context import Context
from harness.ledger import Ledger
from harness.sidecar import Route
from servers import mlserver


def run(context: Context) -> None:
    """Two servers with a version each."""
    one = mlserver.start(context, "mlserver-v1", ("1",), gzip=True)
    two = mlserver.start(context, "mlserver-v2", ("2",), gzip=True)
    context.wait()
    rest = Route("digits", {"v1": one.http, "v2": two.http})

    def predictions(ledger: Ledger) -> None:
        pair = Pair(ledger)
        oip_rest.predictions(ledger, pair, context.rows)
        oip_rest.compressed(ledger, pair, context.rows)
        oip_rest.large(ledger, pair)
        oip_rest.passed_on(ledger, pair)
        oip_rest.questions(pair, "/v2/models/digits", "/v2/models/digits/ready")
        pair.close()

    def mistakes(ledger: Ledger) -> None:
        infer = "/v2/models/digits/infer"
        good = Mistake(infer, oip_rest.request(context.rows[:2], "good"), 200, "ok")
        wide = Mistake(infer, oip_rest.request([[0.0] * 3], "wide"), 500, "model")
        bad = [
            wide,
            Mistake(infer, b'{"inputs": [', 422, "client"),
            Mistake(infer, {"id": "x"}, 422, "client"),
            Mistake("/v2/models/nobody/infer", oip_rest.request(context.rows[:1], "x"), 404, "client"),
            Mistake("/nowhere", {}, 404, "client"),
        ]
        pair = Pair(ledger)
        errors.interleaved(ledger, pair, bad, good)
        errors.rescued(ledger, pair, wide, good)
        pair.close()

    grpc = Route("digits", {"v1": one.grpc, "v2": two.grpc})

    def clients(ledger: Ledger) -> None:
        for compression in (None, "gzip"):
            triton_http.run(ledger, context.rows, ["predict", "predict_proba"], compression=compression)

    def calls(ledger: Ledger) -> None:
        sides = oip_grpc.Sides(ledger)
        oip_grpc.run(ledger, sides, context.rows)
        oip_grpc.large(sides)
        oip_grpc.mistakes(ledger, sides, context.rows, ("INTERNAL", "model"))
        sides.close()

    def streams(ledger: Ledger) -> None:
        opened = grpc_streams.Streams(ledger)
        grpc_streams.run(ledger, opened)
        opened.close()

    context.case("mlserver tritonclient http", rest, clients)
    context.case("mlserver tritonclient grpc", grpc, calls)
    context.case("mlserver grpc streams", grpc, streams)
    context.case("mlserver sse", rest, lambda ledger: sse.run(ledger, lambda _: "/v2/models/streams/infer_stream"))
    context.case("mlserver rest", rest, predictions)
    context.case("mlserver rest errors", rest, mistakes)
