"""Errors of real servers arrive as they are, and count for what they are."""

from dataclasses import dataclass
from typing import Any

from harness.ledger import Ledger, keys

from .pair import Pair


@dataclass(frozen=True)
class Mistake:
    """A bad call, and what comes of it."""

    path: str
    body: Any
    status: int
    kind: str
    headers: dict[str, str] | None = None


def interleaved(ledger: Ledger, pair: Pair, mistakes: list[Mistake], good: Mistake, rounds: int = 4) -> None:
    """Every mistake several times, each followed by good calls on the same connection, so that no breaker opens.

    Some servers close a connection after an error without a word: the application must not notice.
    """
    for round_, mistake in ((r, m) for r in range(rounds) for m in mistakes):
        for key in keys(3, f"{mistake.kind}-{round_}"):
            answer = pair.post(key, mistake.path, mistake.body, mistake.headers, kind=mistake.kind)
            ledger.check(answer.status == mistake.status, f"{mistake}: {answer.status} {answer.body!r}")
            for _ in range(2):
                answer = pair.post(key, good.path, good.body, good.headers)
                ledger.check(answer.status == good.status, f"after an error: {answer.status} {answer.body!r}")
    ledger.check(pair.through.opened == 1, f"the application's connection was opened {pair.through.opened} times")


def rescued(ledger: Ledger, pair: Pair, mistake: Mistake, good: Mistake) -> None:
    """A canary's failure that stable has too: stable's answer comes."""
    for key in keys(12, "rescue"):
        answer = pair.post(key, mistake.path, mistake.body, mistake.headers, kind=mistake.kind, rescue=True)
        ledger.check(answer.status == mistake.status, f"{key}: {answer.status}")
        for _ in range(2):
            pair.post(key, good.path, good.body, good.headers)
