"""What a case saw, and whether that is what it should have seen."""

from collections import Counter, defaultdict
from collections.abc import Hashable

import xxhash

from .sidecar import CANARY, STABLE, Counts, Sidecar
from .wait import TooLateError, until

SHARE = 0.5
# Of 40 keys or more, fewer than a quarter on one side come by chance in one of a thousand runs; salts are fixed, so
# that a run that was good once stays good.
LEAST_SHARE, LEAST_KEYS = 0.25, 40
# Of a text about a difference.
LONGEST = 600


def variant_of(salt: str, key: str) -> str:
    """The variant of a key, computed without Serinus."""
    bucket = xxhash.xxh3_64_intdigest(f"{salt}:{key}".encode()) % 1_000_000
    return CANARY if bucket < SHARE * 1_000_000 else STABLE


def contrast(got: str, want: str) -> str:
    """Where two texts part, with a little around it."""
    at = next((n for n, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), min(len(got), len(want)))
    around = slice(max(0, at - 60), at + 120)
    got, want = (" ".join(text[around].split()) for text in (got, want))
    return f"...{got}... through the sidecar, ...{want}... without it"


def keys(count: int, prefix: str = "user") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


class Ledger:
    """The calls of one case through one sidecar."""

    def __init__(self, case: str, sidecar: Sidecar) -> None:
        self.case = case
        self.sidecar = sidecar
        self.calls = 0
        self.compared = 0
        self.equal = 0
        self.served: Counter[str] = Counter()
        self.expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Variant to class to calls, as the sidecar should have counted them."""
        self.rescues: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.differences: list[str] = []
        self._ids: set[str] = set()
        self._keys: dict[str, str] = {}

    def differs(self, what: str) -> None:
        self.differences.append(what if len(what) <= LONGEST else f"{what[:LONGEST]}...")

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.differs(what)

    def same(self, what: str, got: Hashable | list | dict, want: Hashable | list | dict) -> None:
        """Compares what came through the sidecar with what came without it."""
        self.compared += 1
        if got == want:
            self.equal += 1
        else:
            self.differs(f"{what}: {contrast(repr(got), repr(want))}")

    def called(
        self,
        key: str,
        variant: str | None,
        prediction_id: str | None,
        *,
        kind: str = "ok",
        rescued: bool = False,
    ) -> str:
        """Books a judged call; `kind` is its class at the variant of its key. Answers the variant that served it."""
        assigned = variant_of(self.sidecar.route.salt, key)
        want = STABLE if rescued else assigned
        self.calls += 1
        self.expected[assigned][kind] += 1
        if rescued and assigned != STABLE:
            self.rescues[assigned] += 1
        if kind != "ok":
            self.errors[kind] += 1
        self.check(variant == want, f"{key}: served by {variant}, expected {want}")
        self._keys[key] = assigned
        self.served[want] += 1
        if prediction_id is None or len(prediction_id) < 40:
            self.differs(f"{key}: prediction id {prediction_id!r}")
        elif prediction_id in self._ids:
            self.differs(f"{key}: prediction id {prediction_id} was given out before")
        else:
            self._ids.add(prediction_id)
        return want

    def close(self) -> None:
        """Compares with the sidecar's own counts, and looks at the split."""
        try:
            until(lambda: self._wrong(self.sidecar.counts()) == [], "counts", 5)
        except TooLateError:
            self.differences += self._wrong(self.sidecar.counts())
        if len(self._keys) >= LEAST_KEYS:
            share = sum(variant == CANARY for variant in self._keys.values()) / len(self._keys)
            self.check(
                LEAST_SHARE <= share <= 1 - LEAST_SHARE, f"{share:.0%} of {len(self._keys)} keys are on {CANARY}"
            )

    def _wrong(self, counts: Counts) -> list[str]:
        wrong = []
        for variant in (STABLE, CANARY):
            got = {kind: n for kind, n in counts.by_class.get(variant, Counter()).items() if n}
            want = dict(self.expected[variant])
            if got != want:
                wrong.append(f"counted on {variant}: {got}, expected {want}")
        if +counts.rescued != self.rescues:
            wrong.append(f"rescued: {dict(counts.rescued)}, expected {dict(self.rescues)}")
        if +counts.openings:
            wrong.append(f"the breaker opened: {dict(counts.openings)}")
        if +counts.unkeyed:
            wrong.append(f"without a key: {dict(counts.unkeyed)}")
        return wrong
