"""LiteLLM's proxy with the openai client."""

from cases import openai_chat
from harness.context import Context
from harness.ledger import Ledger
from harness.sidecar import Route
from servers import litellm
from servers.openai_mock import Backend

# The class of a stream that ends with an event that tells of an error.
ERROR_EVENT = "ok"


def run(context: Context) -> None:
    """Two proxies; what they cannot make up comes from a backend that the test controls."""
    with Backend() as backend:
        addresses = {
            variant: litellm.start(context, f"litellm-{variant}", litellm.models(backend.address, variant))
            for variant in ("v1", "v2")
        }
        listed = [model for variant in addresses for model in litellm.models(backend.address, variant, f"-{variant}")]
        both = litellm.start(context, "litellm-both", listed)
        context.wait()
        route = Route("chat", addresses)

        rewrite = "".join(f'rewrite.{variant} = {{model = "chat-{variant}"}}\n' for variant in addresses)
        renamed = Route("chat", {"v1": both, "v2": both}, more=rewrite)

        def rewritten(ledger: Ledger) -> None:
            suffixes = {variant: f"-{variant}" for variant in addresses}
            openai_chat.rewritten(ledger, openai_chat.Clients(ledger, suffixes))

        def chat(ledger: Ledger) -> None:
            openai_chat.run(ledger, openai_chat.Clients(ledger), backend.open_gate)

        def mistakes(ledger: Ledger) -> None:
            openai_chat.mistakes(ledger, openai_chat.Clients(ledger))

        context.case("litellm openai client", route, chat)
        context.case("litellm openai client errors", route, mistakes)
        context.case(
            "litellm raw streams", route, lambda ledger: openai_chat.raw(ledger, backend.open_gate, ERROR_EVENT)
        )
        context.case("litellm both in one", renamed, rewritten)
        context.stop()
