"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_S = 0.05

T = TypeVar("T")


class TooLateError(Exception):
    """The condition did not come true in time."""


def until(condition: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    """The first answer of `condition` that is true; `what` says in an error what was waited for."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TooLateError(f"not within {seconds:.0f} s: {what}")
        time.sleep(POLL_S)
