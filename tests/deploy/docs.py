"""Checks that docs/operations.md names every key of the configurations that the programs print.

usage: docs.py NAME=PRINTED_CONFIGURATION.toml ...
"""

import sys
import tomllib
from pathlib import Path

text = Path("docs/operations.md").read_text()
missing = []


def keys(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
        elif not isinstance(value, list) or not value or not isinstance(value[0], dict):
            yield f"{prefix}{key}"


count = 0
for path in sys.argv[1:]:
    for key in keys(tomllib.loads(Path(path).read_text())):
        count += 1
        if f"`{key}`" not in text:
            missing.append(f"{Path(path).stem}: {key}")
assert not missing, f"docs/operations.md does not name {missing}"
print(f"{count} keys are described")
