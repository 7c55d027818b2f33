#!/bin/sh
# Reads call detail records from a MariaDB and a PostgreSQL that really run, as Debian packages them; the
# tests start them in folders of their own, on loopback, and end them. Needs root for the packages only.
set -eu
cd "$(dirname "$0")/../.."
tests/cdr/packages /usr/sbin/mariadbd=mariadb-server '/usr/lib/postgresql/*/bin/postgres=postgresql'
AMI2AMO_MARIADB=$(command -v mariadbd)
AMI2AMO_POSTGRES=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
export AMI2AMO_MARIADB AMI2AMO_POSTGRES
cargo test --features cdr-mysql,cdr-sqlite,cdr-postgres --test cdr_databases -- "$@"
