#!/bin/sh
# Starts MariaDB in the foreground, as the user that the container runs as. The first start makes the data folder.
# It neither backs up nor upgrades: a new major version wants `mariadb-upgrade` by hand.
set -eu
umask 077

volume=/var/lib/mysql
settings=/etc/mysql/tooling.cnf
name=${DATABASE_NAME:-tooling}
user=${DATABASE_USER:-tooling}
password_file=${DATABASE_PASSWORD_FILE:-/run/secrets/tooling/database-password}

fail() {
    printf 'entrypoint.sh: %s\n' "$*" >&2
    exit 1
}

# They become SQL identifiers below.
for word in "$name" "$user"; do
    case $word in
        '' | *[!A-Za-z0-9_]*) fail "DATABASE_NAME and DATABASE_USER: letters, digits and _ only, not '$word'" ;;
    esac
done
[ -r "$password_file" ] || fail "$password_file: not readable by uid $(id -u); mount the secret there, or set DATABASE_PASSWORD_FILE"
password=$(cat "$password_file")
[ -n "$password" ] || fail "$password_file: empty; write the password of '$user' into it"
[ "$(printf '%s\n' "$password" | wc -l)" -eq 1 ] || fail "$password_file: more than one line; write one line"

if [ ! -d "$volume/data" ]; then
    # All or nothing: a start that is killed in here leaves only `data.partial`, which the next one throws away.
    rm -rf "$volume/data.partial"
    echo "entrypoint.sh: first start, making $volume/data"
    # Nobody can be root of the database: that login is for uid 0 at the socket, and no process here has it.
    # The user `mysql` at the socket, whom `kubectl exec` runs as, may do everything.
    mariadb-install-db --defaults-file="$settings" --datadir="$volume/data.partial" \
        --auth-root-authentication-method=socket --auth-root-socket-user=mysql \
        --skip-test-db >/run/mysqld/install.log 2>&1 || {
        cat /run/mysqld/install.log >&2
        fail "mariadb-install-db did not make $volume/data.partial; its log is above"
    }
    sync
    mv "$volume/data.partial" "$volume/data"
fi

# Runs at every start, before the port answers, so a changed password is the database's after a restart.
# It comes by a pipe: neither a command line nor a file on a disk shows the password.
quoted=$(printf '%s' "$password" | sed "s/[\\\\']/\\\\&/g")
exec mariadbd --defaults-file="$settings" --init-file=/dev/stdin <<SQL
CREATE DATABASE IF NOT EXISTS \`$name\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE USER IF NOT EXISTS '$user'@'%';
ALTER USER '$user'@'%' IDENTIFIED BY '$quoted';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON \`$name\`.* TO '$user'@'%';
SQL
