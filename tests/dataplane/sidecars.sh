#!/bin/sh
# Two sidecars for the data-plane yardstick, which has HTTP/1.1 and gRPC on ports and backends of their own:
#   SERINUS="tests/dataplane/sidecars.sh BINARY @RUN@/serinus.conf @LISTEN@ @V1@ @V2@ @LISTEN_H2@ @V1_H2@ @V2_H2@"
#   SERINUS_CONFIG=tests/dataplane/serinus.toml.in   (both as absolute paths)
set -eu
binary=$1 config=$2 listen=$3 v1=$4 v2=$5 listen_h2=$6 v1_h2=$7 v2_h2=$8
sed "s|^admin.*|admin = \"127.0.0.1:0\"|;s|:$listen\"|:$listen_h2\"|;s|:$v1\"|:$v1_h2\"|;s|:$v2\"|:$v2_h2\"|" \
    "$config" >"$config.grpc"
"$binary" --config "$config.grpc" &
exec "$binary" --config "$config"
