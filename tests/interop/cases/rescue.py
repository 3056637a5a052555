"""A real server dies under load: applications notice nothing. Its answers are short, so that each is passed on whole."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.http import Connection
from harness.ledger import Ledger
from harness.process import Child
from harness.sidecar import CANARY, KEY_HEADER, STABLE
from harness.wait import until

from .oip_rest import batch, request

PATH = "/v2/models/digits/infer"
BATCHES = 10
THREADS = 8
BEFORE, DURING, AFTER = 150, 400, 60


@dataclass
class Load:
    """Calls from several threads; every answer is checked."""

    ledger: Ledger
    bodies: list[bytes]
    known: dict[str, list[list[int]]]
    """Variant to the digits of each body."""
    served: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._calls, args=(at,)) for at in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def done(self) -> int:
        with self._lock:
            return self.served.total()

    def wait_for_more(self, calls: int) -> None:
        end = self.done() + calls
        until(lambda: self.done() >= end, f"{calls} more calls", 60)

    def _calls(self, thread: int) -> None:
        connection = Connection(self.ledger.sidecar.address)
        number = 0
        while not self._stop.is_set():
            number += 1
            which = number % len(self.bodies)
            key = f"load-{thread}-{number}"
            try:
                answer = connection.post(PATH, self.bodies[which], {KEY_HEADER: key})
                found = (answer.status, answer.json()["outputs"][0]["data"] if answer.status == 200 else answer.body)
                variant = answer.variant or ""
                right = found == (200, self.known.get(variant, [[]] * len(self.bodies))[which])
            except (OSError, http.client.HTTPException) as error:
                variant, found, right = "", error, False
                connection.close()
            with self._lock:
                self.served[variant] += 1
                if not right:
                    self.wrong.append(f"{key} from {variant!r}: {found}")
        connection.close()


def run(ledger: Ledger, rows: list[list[float]], victim: Child, restart: Callable[[], Child]) -> None:
    """Load, the canary's server dies, more load, it is back, more load."""
    bodies = [json.dumps(request(batch(rows, number), f"r-{number}")).encode() for number in range(BATCHES)]
    known = {variant: answers(address, bodies) for variant, address in ledger.sidecar.route.endpoints.items()}
    ledger.check(known[STABLE] != known[CANARY], "both versions answer alike")
    load = Load(ledger, bodies, known)
    load.start()
    try:
        load.wait_for_more(BEFORE)
        ledger.check(load.served[CANARY] > 0, "nothing came from the canary before it died")
        victim.kill()
        load.wait_for_more(DURING)
        restart()
        before = load.served[CANARY]
        until(lambda: load.served[CANARY] > before + AFTER, "the canary serves again", 60)
    finally:
        load.stop()
    judge(ledger, load)


def judge(ledger: Ledger, load: Load) -> None:
    ledger.calls = ledger.compared = load.served.total()
    ledger.equal = ledger.calls - len(load.wrong)
    ledger.served = load.served
    ledger.differences += load.wrong
    counts = ledger.sidecar.counts()
    failed = sum(counts.by_class[CANARY][kind] for kind in ("model", "connect", "timeout", "overload"))
    ledger.rescues, ledger.errors = counts.rescued, Counter({"failed at the canary": failed})
    ledger.check(counts.rescued[CANARY] > 0, "nothing was rescued")
    rescued = counts.rescued[CANARY]
    ledger.check(failed == rescued, f"{failed} failures, {rescued} rescued")
    ledger.check(counts.openings[CANARY] > 0, "the breaker did not open")
    seen = dict(counts.user_errors)
    ledger.check(counts.user_errors.total() == 0, f"errors that users saw: {seen}")


def answers(address: str, bodies: list[bytes]) -> list[list[int]]:
    connection = Connection(address)
    found = [connection.post(PATH, body).json()["outputs"][0]["data"] for body in bodies]
    connection.close()
    return found
