"""Recomputes buckets with Python's xxhash and compares them with `serinus bucket`."""

import json
import subprocess
import sys

import xxhash

serinus = sys.argv[1]
cases = [("s", f"user-{i}") for i in range(20)] + [("salt", ""), ("", "x"), ("ümlaut", "ключ"), ("s", "k" * 500)]
for salt, key in cases:
    out = subprocess.run(
        [serinus, "bucket", "--salt", salt, "--key", key, "-o", "json"], check=True, capture_output=True, text=True
    )
    got = json.loads(out.stdout)["bucket"]
    want = xxhash.xxh3_64_intdigest(f"{salt}:{key}".encode()) % 1_000_000
    assert got == want, f"bucket of {salt!r}, {key[:20]!r}: {got}, expected {want}"
for key, want in [("20", 0), ("23", 300_000)]:
    out = subprocess.run(
        [serinus, "bucket", "--hash", "modulo", "--modulus", "10", "--key", key, "-o", "json"],
        check=True, capture_output=True, text=True,
    )
    assert json.loads(out.stdout)["bucket"] == want, (key, out.stdout)
print(f"{len(cases) + 2} buckets agree")
