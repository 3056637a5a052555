"""The table at the end."""

from .ledger import Ledger
from .sidecar import CANARY, STABLE

HEADINGS = ("case", "calls", "compared", "equal", STABLE, CANARY, "rescued", "errors meant", "differences")
SHOWN = 5


def row(ledger: Ledger) -> tuple[str, ...]:
    errors = ", ".join(f"{count} {kind}" for kind, count in sorted(ledger.errors.items())) or "-"
    return (
        ledger.case,
        str(ledger.calls),
        str(ledger.compared),
        str(ledger.equal),
        str(ledger.served[STABLE]),
        str(ledger.served[CANARY]),
        str(sum(ledger.rescues.values())),
        errors,
        str(len(ledger.differences)),
    )


def show(ledgers: list[Ledger]) -> bool:
    """Prints all cases; answers whether all is well."""
    rows = [HEADINGS, *(row(ledger) for ledger in ledgers)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEADINGS))]
    for line in rows:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    bad = [ledger for ledger in ledgers if ledger.differences]
    for ledger in bad:
        print(f"\n{ledger.case}:")
        for difference in ledger.differences[:SHOWN]:
            print(f"  {difference}")
        if len(ledger.differences) > SHOWN:
            print(f"  and {len(ledger.differences) - SHOWN} more")
    return not bad
