"""Checks what a linter does not know about the Dockerfile: users, programs, and that the build sees every crate."""

import re
import sys
import tomllib
from pathlib import Path

text = Path(sys.argv[1]).read_text().replace("\\\n", " ")
ignore = Path(sys.argv[2]).read_text().splitlines()

stages: dict[str, list[str]] = {}
for line in text.splitlines():
    if match := re.match(r"FROM (\S+) AS (\S+)", line):
        stages[match[2]] = [line]
    elif stages and line.strip() and not line.startswith("#"):
        stages[list(stages)[-1]].append(line)

for target, program in [("control-plane", "serinus-control-plane"), ("sidecar", "serinus-sidecar"), ("serinus", "serinus")]:
    stage = stages[target]
    assert stage[0] == f"FROM scratch AS {target}", stage[0]
    assert "USER 65532:65532" in stage, f"{target} runs as root"
    assert f'ENTRYPOINT ["/usr/bin/{program}"]' in stage, target
    assert f"COPY --from=build-{target} /program /usr/bin/{program}" in stage, target
    assert any(f"target/release/{program} /program" in line for line in stages[f"build-{target}"]), target
    assert any("--locked" in line for line in stages[f"build-{target}"]), target

members = tomllib.loads(Path("Cargo.toml").read_text())["workspace"]["members"]
allowed = [line[1:] for line in ignore if line.startswith("!")]
assert "*" in ignore, "the build context is not restricted"
for member in members:
    for needed in (f"{member}/Cargo.toml", f"{member}/src"):
        seen = any(needed == path or needed.startswith(path + "/") for path in allowed)
        assert seen, f"{needed} is not in the build context: add it to {sys.argv[2]}"
print(f"{len(stages)} stages, {len(members)} crates in the build context")
