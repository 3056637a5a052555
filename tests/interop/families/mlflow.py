"""MLflow's scoring server."""

from cases import errors
from cases import mlflow as calls
from cases.errors import Mistake
from cases.pair import Pair
from harness.context import Context
from harness.ledger import Ledger
from harness.sidecar import Route
from servers import mlflow

# The class of a 400 that carries the model's stack trace.
THROWN = "model"


def run(context: Context) -> None:
    """Two servers with a version each."""
    models = mlflow.save(context)
    addresses = {f"v{n}": mlflow.start(context, f"mlflow-v{n}", models / f"mlflow-{n}") for n in (1, 2)}
    context.wait()
    route = Route("digits", addresses)

    def predictions(ledger: Ledger) -> None:
        pair = Pair(ledger)
        calls.predictions(ledger, pair, context.rows)
        pair.close()

    def mistakes(ledger: Ledger) -> None:
        pair = Pair(ledger)
        good = Mistake(calls.PATH, {"inputs": context.rows[:3]}, 200, "ok")
        errors.interleaved(ledger, pair, calls.mistakes(THROWN), good)
        pair.close()

    context.case("mlflow invocations", route, predictions)
    context.case("mlflow errors", route, mistakes)
