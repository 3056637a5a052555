"""Checks the demo's summary: one promotion, one rollback, no error that a user saw, splits as asked, decisions that replay."""

import json
import sys

summary = json.load(open(sys.argv[1]))
for part in ("promoted", "rolled_back"):
    story = summary[part]
    assert story["variant"], f"{part}: no variant"
    assert story["seconds_to_verdict"] > 0, f"{part}: no time to verdict"
    assert story["exposed_users"] > 0, f"{part}: nobody was exposed"
    assert story["user_visible_errors"] == 0, f"{part}: users saw {story['user_visible_errors']} errors"
steps = summary["achieved_split"]
assert steps, "no achieved split"
for step in steps:
    asked, got = step["asked"], step["achieved"]
    assert abs(asked - got) <= 0.03, f"asked {asked}, got {got}"
replayed = summary["replayed"]
assert replayed["decisions"] >= 6, f"only {replayed['decisions']} decisions were replayed"
assert replayed["reproduced"] == replayed["decisions"], f"replayed {replayed}"
print(f"promoted {summary['promoted']['variant']}, rolled back {summary['rolled_back']['variant']}, {len(steps)} steps, {replayed['reproduced']} decisions replayed")
