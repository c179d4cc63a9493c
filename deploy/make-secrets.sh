#!/usr/bin/env bash
# Draws the secrets of compose.yaml into deploy/secrets (or the folder that is given), each in a file of its own.
# What is there already is left alone, so it can be run again.
set -euo pipefail

folder=${1:-$(cd "$(dirname "$0")" && pwd)/secrets}
# Nobody else passes the folder; the files are mounted into containers whose users are not this one.
install -d -m 0700 "$folder"
umask 022

put() { # NAME: standard input becomes its content, unless it has one
    if [ -s "$folder/$1" ]; then cat >/dev/null; else cat >"$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"; fi
}
draw() { openssl rand -hex 32 | tr -d '\n' | put "$1"; }
digest() { sha256sum <"$folder/$1" | cut -d' ' -f1 | tr -d '\n'; }

for name in service_token postgres_password redis_password deltanas_metrics_token; do draw "$name"; done
digest service_token | put service_token_sha256
digest deltanas_metrics_token | put metrics_token_sha256
printf 'postgresql://deltanas:%s@postgres/deltanas' "$(cat "$folder/postgres_password")" | put database_url
printf 'redis://:%s@redis:6379/0' "$(cat "$folder/redis_password")" | put broker_url
printf 'requirepass %s\nsave ""\nappendonly no\nmaxmemory-policy noeviction\ndir /tmp\n' \
    "$(cat "$folder/redis_password")" | put redis_conf
echo "$folder"
