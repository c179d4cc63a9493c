#!/usr/bin/env bash
# Saves a farm of compose.yaml while it runs: the database first, then the files that its rows name.
#
#   deploy/backup.sh FOLDER      the folder must not be there yet; COMPOSE_FILE names the overrides in use
#   deploy/restore.sh FOLDER     puts it into a new farm, before that starts for the first time
set -euo pipefail
umask 077

folder=${1:?where to save to}
mkdir "$folder"
export COMPOSE_FILE=${COMPOSE_FILE:-$(cd "$(dirname "$0")" && pwd)/compose.yaml}

docker compose exec -T postgres pg_dump --format=custom --username=deltanas --dbname=deltanas >"$folder/database.dump"
for service in gateway-1 gateway-2 generator runner; do
    # Files of a backup never change once they are there, and each service has its own.
    docker compose exec -T --user deltanas "$service" sh -euc '
        rm -f "$DELTANAS_HOME/.backup.tar.gz"
        deltanas backup "$DELTANAS_HOME/.backup.tar.gz" --files-only >&2
        cat "$DELTANAS_HOME/.backup.tar.gz"
        rm "$DELTANAS_HOME/.backup.tar.gz"
    ' >"$folder/$service.tar.gz"
done
echo "$folder"
