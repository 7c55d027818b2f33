#!/bin/sh
# Reads call detail records from a MariaDB and a PostgreSQL that really run, as Debian packages them; the
# tests start them in folders of their own, on loopback, and end them. Needs root for the packages only.
set -eu
cd "$(dirname "$0")/../.."
missing=
command -v mariadbd >/dev/null || missing="mariadb-server"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
if [ -n "$missing" ]; then
    # No server of the packages starts by itself: this host may have others.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086 # they are words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
AMI2AMO_MARIADB=$(command -v mariadbd)
AMI2AMO_POSTGRES=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
export AMI2AMO_MARIADB AMI2AMO_POSTGRES
cargo test --features cdr-mysql,cdr-sqlite,cdr-postgres --test cdr_databases -- "$@"
