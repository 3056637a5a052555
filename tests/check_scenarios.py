"""Tables of `serinus-bench decision`: is any scenario surely above 5 % wrong decisions?

usage: check_scenarios.py FILE.csv ...
"""

import csv
import math
import sys

ALLOWED = 0.05


def surely_more(wrong, of, rate):
    """Whether so many wrong ones are beyond the 95 % Clopper-Pearson bound: chance of as many or more at `rate`."""
    tail = sum(math.comb(of, k) * rate**k * (1 - rate) ** (of - k) for k in range(wrong, of + 1))
    return wrong > 0 and tail < 0.025


def main(files):
    bad = []
    rows = [row for name in files for row in csv.DictReader(open(name, newline=""))]
    for row in rows:
        of = int(row["reps"])
        wrong = round(float(row["wrong"]) * of)
        if surely_more(wrong, of, ALLOWED):
            bad.append(f"{row['scenario']}: {wrong} of {of} wrong")
    print(f"{len(rows)} scenarios, {len(bad)} with surely more than {ALLOWED:.0%} wrong decisions")
    sys.exit("\n".join(bad) if bad or not rows else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
