#!/usr/bin/env bash
# Checks what is in deploy/ as far as a machine without a cluster can.
# usage: tests/deploy/check.sh VENV
#   VENV has the packages of tests/requirements.txt. With SERINUS_BIN_DIR (default: target/release) the programs there
#   read every configuration too.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=$(realpath "${1:?usage: tests/deploy/check.sh VENV}")
bins=$(realpath -m "${SERINUS_BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf -- '-- %s\n' "$*"; }
need() {
  command -v "$1" >/dev/null 2>&1 || { echo "$1 is missing: apt-get install $2" >&2; exit 1; }
}
need kubectl kubernetes-client
need systemd-analyze systemd
need openssl openssl

say "scripts"
bash -n deploy/tokens.sh
cp -r deploy/kubernetes deploy/compose deploy/systemd "$work/"
rm -rf "$work/kubernetes/secrets" "$work/compose/secrets"
deploy/tokens.sh "$work/kubernetes/secrets" >/dev/null
cp -r "$work/kubernetes/secrets" "$work/compose/secrets"
if deploy/tokens.sh "$work/kubernetes/secrets" 2>/dev/null; then
  echo "deploy/tokens.sh has overwritten tokens" >&2
  exit 1
fi
for kind in admin sidecar; do
  want=$(printf %s "$(cat "$work/kubernetes/secrets/$kind-token")" | openssl dgst -sha256 -r | cut -d' ' -f1)
  grep -q " $kind sha256:$want\$" "$work/kubernetes/secrets/tokens"
done

say "Dockerfile"
"$venv/bin/hadolint" --failure-threshold warning deploy/docker/Dockerfile
"$venv/bin/python" tests/deploy/dockerfile.py deploy/docker/Dockerfile deploy/docker/Dockerfile.dockerignore

say "compose file"
"$venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec "$work/compose/compose.yaml"
"$venv/bin/python" tests/deploy/compose.py "$work/compose/compose.yaml"

say "Kubernetes manifests"
kubectl kustomize "$work/kubernetes" >"$work/objects.yaml"
for version in 1.30 1.33 1.37; do
  "$venv/bin/kubernetes-validate" --strict --quiet --kubernetes-version "$version" "$work/objects.yaml"
done
"$venv/bin/python" tests/deploy/kubernetes.py "$work/objects.yaml" "$work/configs"

say "systemd units"
for unit in deploy/systemd/*.service; do
  name=$(basename "$unit")
  # The programs are not installed here.
  sed 's#^ExecStart=/usr/bin/serinus-[a-z-]*#ExecStart=/bin/true#' "$unit" >"$work/$name"
  said=$(systemd-analyze verify --man=no "$work/$name" 2>&1) || { echo "$said" >&2; exit 1; }
  if grep -q serinus- <<<"$said"; then
    echo "$said" >&2
    exit 1
  fi
  systemd-analyze security --offline=yes --threshold=20 "$work/$name" >"$work/exposure" || { cat "$work/exposure" >&2; exit 1; }
  tail -n 1 "$work/exposure"
done

if [ -x "$bins/serinus-control-plane" ] && [ -x "$bins/serinus-sidecar" ]; then
  say "configurations, read by the programs in $bins"
  cp "$work/compose/control-plane.toml" "$work/configs/compose-control-plane.toml"
  cp "$work/compose/sidecar.toml" "$work/configs/compose-sidecar.toml"
  cp "$work/systemd/control-plane.toml" "$work/configs/systemd-control-plane.toml"
  cp "$work/systemd/sidecar-example.toml" "$work/configs/systemd-sidecar.toml"
  for config in "$work"/configs/*control-plane.toml; do
    # The token file is where the container has it.
    sed -i "s#^token_file = .*#token_file = \"$work/kubernetes/secrets/tokens\"#" "$config"
    "$bins/serinus-control-plane" --config "$config" --data-dir "$work/data" --check-config
  done
  for config in "$work"/configs/*sidecar.toml; do
    sed -i "s#^token_file = .*#token_file = \"$work/kubernetes/secrets/sidecar-token\"#" "$config"
    "$bins/serinus-sidecar" --config "$config" --state-dir "$work/state" --check-config
  done
  "$bins/serinus-control-plane" --config "$work/configs/kubernetes-control-plane.toml" --print-config >"$work/control-plane.toml"
  "$bins/serinus-sidecar" --config "$work/configs/kubernetes-sidecar.toml" --print-config >"$work/sidecar.toml"
  "$venv/bin/python" tests/deploy/docs.py "$work/control-plane.toml" "$work/sidecar.toml"
else
  say "configurations: not read, since $bins has no programs"
fi
say "deploy/ is in order"
