"""LiteLLM's proxy with the openai client."""

from cases import openai_chat
from harness.context import Context
from harness.ledger import Ledger
from harness.sidecar import Route
from servers import litellm
from servers.openai_mock import Backend

SUFFIXES = {"v1": "-v1", "v2": "-v2"}
REWRITE = "".join(f'rewrite.{variant} = {{model = "chat{suffix}"}}\n' for variant, suffix in SUFFIXES.items())


# Without a key, which the sidecar does not have, LiteLLM answers 401 or even 500 to questions about models.
READY = 'ready_path = "/health/liveliness"\n'


def run(context: Context) -> None:
    """Two proxies; what they cannot make up comes from a backend that the test controls. The first one also offers
    both variants by other names."""
    with Backend() as backend:
        both = [model for variant in SUFFIXES for model in litellm.models(backend.address, variant, SUFFIXES[variant])]
        one = litellm.start(context, "litellm-v1", litellm.models(backend.address, "v1") + both)
        two = litellm.start(context, "litellm-v2", litellm.models(backend.address, "v2"))
        context.wait()
        cases(context, backend, one, two)
        context.stop()


def cases(context: Context, backend: Backend, one: str, two: str) -> None:
    route = Route("chat", {"v1": one, "v2": two}, more=READY)
    renamed = Route("chat", {"v1": one, "v2": one}, more=READY + REWRITE)

    def chat(ledger: Ledger) -> None:
        openai_chat.run(ledger, openai_chat.Clients(ledger), backend.open_gate)

    def mistakes(ledger: Ledger) -> None:
        openai_chat.mistakes(ledger, openai_chat.Clients(ledger))

    def raw(ledger: Ledger) -> None:
        openai_chat.raw(ledger, backend.open_gate)

    def rewritten(ledger: Ledger) -> None:
        openai_chat.rewritten(ledger, openai_chat.Clients(ledger, SUFFIXES))

    context.case("litellm openai client", route, chat)
    context.case("litellm openai client errors", route, mistakes)
    context.case("litellm raw streams", route, raw)
    context.case("litellm both versions in one", renamed, rewritten)
