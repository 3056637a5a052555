#!/usr/bin/env bash
# Makes the tokens that a control plane beyond loopback asks for.
# usage: deploy/tokens.sh DIRECTORY
#   DIRECTORY/tokens          for the control plane: names, roles and hashes
#   DIRECTORY/admin-token  for people: serinus --token-file DIRECTORY/admin-token ...
#   DIRECTORY/sidecar-token   for the sidecars
set -euo pipefail

if [ $# -ne 1 ]; then
  sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//' >&2
  exit 2
fi
if [ -e "$1/tokens" ]; then
  echo "$1/tokens is there already; remove it first to make new tokens" >&2
  exit 1
fi
umask 077
mkdir -p "$1"

make() { # DIRECTORY NAME ROLE FILE
  local secret hash
  secret=serinus_$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
  hash=$(printf %s "$secret" | sha256sum | cut -d' ' -f1)
  printf '%s\n' "$secret" >"$1/$4"
  printf '%s %s sha256:%s\n' "$2" "$3" "$hash" >>"$1/tokens.new"
}

rm -f "$1/tokens.new"
make "$1" admin admin admin-token
make "$1" sidecars sidecar sidecar-token
mv "$1/tokens.new" "$1/tokens"
echo "made $1/tokens, $1/admin-token and $1/sidecar-token"
