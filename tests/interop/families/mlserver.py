"""MLServer: two servers with a version each, and one server with both."""

import re

from cases import errors, grpc_streams, oip_grpc, oip_rest, rescue, sse, triton_http
from cases.errors import Mistake
from cases.pair import Pair
from harness.context import Context
from harness.ledger import Ledger
from harness.sidecar import Route
from servers import mlserver
from servers.mlserver import Server

INFER = "/v2/models/digits/infer"
STREAM = "/v2/models/streams/infer_stream"
OUTPUTS = ["predict", "predict_proba"]
VERSIONS = {"v1": "1", "v2": "2"}
# MLServer answers unversioned calls with the highest version: stable has to be named too.
REWRITE = "".join(f'rewrite.{variant} = {{version = "{version}"}}\n' for variant, version in VERSIONS.items())


def run(context: Context) -> None:
    one, two = (mlserver.start(context, f"mlserver-v{version}", (version,)) for version in ("1", "2"))
    both = mlserver.start(context, "mlserver-both", ("1", "2"))
    context.wait()
    two_servers(context, one, two)
    one_server(context, both)
    dying(context, one, two)


def versioned(variant: str, path: str) -> str:
    """What the rewrite makes of a path."""
    version = VERSIONS.get(variant)
    return re.sub(r"^/v2/models/[^/]+", rf"\g<0>/versions/{version}", path) if version else path


def two_servers(context: Context, one: Server, two: Server) -> None:
    """Nothing is rewritten."""
    rest = Route("digits", {"v1": one.http, "v2": two.http})
    grpc = Route("digits", {"v1": one.grpc, "v2": two.grpc})

    def predictions(ledger: Ledger) -> None:
        pair = Pair(ledger)
        oip_rest.predictions(ledger, pair, context.rows)
        oip_rest.compressed(ledger, pair, context.rows)
        oip_rest.large(ledger, pair)
        oip_rest.passed_on(ledger, pair)
        oip_rest.questions(pair, "/v2/models/digits", "/v2/models/digits/ready")
        pair.close()

    def clients(ledger: Ledger) -> None:
        for compression in (None, "gzip"):
            triton_http.run(ledger, context.rows, OUTPUTS, compression=compression)

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

    context.case("mlserver rest", rest, predictions)
    context.case("mlserver rest errors", rest, lambda ledger: mistakes(ledger, Pair(ledger), context.rows))
    context.case("mlserver tritonclient http", rest, clients)
    context.case("mlserver tritonclient grpc", grpc, calls)
    context.case("mlserver grpc streams", grpc, streams)
    context.case("mlserver sse", rest, lambda ledger: sse.run(ledger, lambda _: STREAM))


def mistakes(ledger: Ledger, pair: Pair, rows: list[list[float]]) -> None:
    good = Mistake(INFER, oip_rest.request(rows[:2], "good"), 200, "ok")
    wide = Mistake(INFER, oip_rest.request([[0.0] * 3], "wide"), 500, "model")
    bad = [
        wide,
        Mistake(INFER, b'{"inputs": [', 422, "client"),
        Mistake(INFER, {"id": "x"}, 422, "client"),
        Mistake("/v2/models/nobody/infer", oip_rest.request(rows[:1], "x"), 404, "client"),
        Mistake("/nowhere", {}, 404, "client"),
    ]
    errors.interleaved(ledger, pair, bad, good)
    errors.rescued(ledger, pair, wide, good)
    pair.close()


def one_server(context: Context, both: Server) -> None:
    """Both versions in one process: the sidecar names the version in every call."""
    rest = Route("digits", {"v1": both.http, "v2": both.http}, more=REWRITE)
    grpc = Route("digits", {"v1": both.grpc, "v2": both.grpc}, more=REWRITE)

    def predictions(ledger: Ledger) -> None:
        pair = Pair(ledger, versioned)
        oip_rest.predictions(ledger, pair, context.rows)
        oip_rest.compressed(ledger, pair, context.rows)
        oip_rest.passed_on(ledger, pair)
        oip_rest.questions(pair, "/v2/models/digits", "/v2/models/digits/ready")
        triton_http.run(ledger, context.rows, OUTPUTS, versions=VERSIONS)
        pair.close()

    def calls(ledger: Ledger) -> None:
        sides = oip_grpc.Sides(ledger, VERSIONS)
        oip_grpc.run(ledger, sides, context.rows)
        oip_grpc.large(sides)
        sides.close()

    def streams(ledger: Ledger) -> None:
        opened = grpc_streams.Streams(ledger, VERSIONS)
        grpc_streams.run(ledger, opened)
        opened.close()

    context.case("mlserver both versions rest", rest, predictions)
    context.case("mlserver both versions sse", rest, lambda ledger: sse.run(ledger, lambda v: versioned(v, STREAM)))
    context.case("mlserver both versions grpc", grpc, calls)
    context.case("mlserver both versions grpc streams", grpc, streams)


def dying(context: Context, one: Server, two: Server) -> None:
    """The canary's server is killed and started again. It is the last case: the server is another one then."""
    rest = Route("digits", {"v1": one.http, "v2": two.http})

    def run(ledger: Ledger) -> None:
        rescue.run(ledger, context.rows, two.child, two.again)

    context.case("mlserver canary killed", rest, run, exact=False)
