#!/usr/bin/env bash
# Puts what backup.sh has saved into a farm of compose.yaml that has never been started: `deploy/restore.sh FOLDER`.
set -euo pipefail

folder=${1:?what backup.sh has made}
export COMPOSE_FILE=${COMPOSE_FILE:-$(cd "$(dirname "$0")" && pwd)/compose.yaml}

docker compose up --detach --wait postgres
docker compose exec -T postgres pg_restore --exit-on-error --username=deltanas --dbname=deltanas <"$folder/database.dump"
for service in gateway-1 gateway-2 generator runner; do
    docker compose run --rm -T --no-deps --user deltanas "$service" sh -euc '
        cat >"$DELTANAS_HOME/.backup.tar.gz"
        deltanas restore "$DELTANAS_HOME/.backup.tar.gz" >&2
        rm "$DELTANAS_HOME/.backup.tar.gz"
    ' <"$folder/$service.tar.gz"
done
