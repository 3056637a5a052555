"""The same HTTP call through the sidecar and without it."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.http import Answer, Connection
from harness.ledger import Ledger, variant_of
from harness.sidecar import KEY_HEADER, STABLE


@dataclass
class Pair:
    """A kept-alive connection through the sidecar, and one to each variant."""

    ledger: Ledger
    through: Connection = field(init=False)
    direct: dict[str, Connection] = field(init=False)
    rewrite: Callable[[str, str], str] = lambda _variant, path: path
    """What a path becomes on the way to a variant."""

    def __post_init__(self) -> None:
        sidecar = self.ledger.sidecar
        self.through = Connection(sidecar.address)
        self.direct = {variant: Connection(address) for variant, address in sidecar.route.endpoints.items()}

    def post(
        self,
        key: str,
        path: str,
        body: Any,
        headers: dict[str, str] | None = None,
        *,
        kind: str = "ok",
        rescue: bool = False,
    ) -> Answer:
        """Both calls, compared and booked. Failures are rescued only where that is meant."""
        headers = headers or {}
        own = {KEY_HEADER: key} | ({} if rescue else {"x-serinus-idempotent": "false"})
        answer = self.through.post(path, body, {**headers, **own})
        rescued = rescue and kind == "model" and variant_of(self.ledger.sidecar.route.salt, key) != STABLE
        variant = self.ledger.called(key, answer.variant, answer.prediction_id, kind=kind, rescued=rescued)
        # The server sees the host that the application named, whichever way the call came.
        straight = {name: value for name, value in headers.items() if not name.startswith("x-serinus-")}
        straight |= {KEY_HEADER: key, "host": self.ledger.sidecar.address}
        want = self.straight(variant, path, body, straight)
        self.ledger.same(f"{key} {path}", answer.comparable(), want.comparable())
        return answer

    def straight(self, variant: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        """The call to a variant itself, on a new connection if the server has closed the last one unannounced."""
        path = self.rewrite(variant, path)
        try:
            return self.direct[variant].post(path, body, headers)
        except (OSError, http.client.HTTPException):
            self.direct[variant].close()
            return self.direct[variant].post(path, body, headers)

    def get(self, path: str) -> Answer:
        """A question about the server or the model: stable's answer, which nobody counts."""
        answer = self.through.call("GET", path)
        self.ledger.check(answer.variant == STABLE, f"GET {path} was answered by {answer.variant}")
        want = self.direct[STABLE].call("GET", self.rewrite(STABLE, path), None, {"host": self.ledger.sidecar.address})
        self.ledger.same(f"GET {path}", answer.comparable(), want.comparable())
        return answer

    def close(self) -> None:
        for connection in (self.through, *self.direct.values()):
            connection.close()
