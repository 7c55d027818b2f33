#!/bin/sh
# Installs ami2amo, or a newer one over it: program, user, folders, service. Configuration, secrets and the queue that are
# there stay as they are; it may be run again at any time, in the middle of calls, too.
set -eu
# Folders that are made here are for everybody, whatever root's umask keeps to itself.
umask 022

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
etc=/etc/ami2amo
store=/var/lib/ami2amo
share=/usr/local/share
unit=/etc/systemd/system/ami2amo.service

# ---- may it be installed here? ----------------------------------------------------------------------------
[ "$(id -u)" = 0 ] || fail "be root: it makes a user and a service"
[ "$(uname -s)" = Linux ] || fail "this is a program for Linux, and this is $(uname -s)"
case $(uname -m) in
  x86_64 | amd64) ;;
  *) fail "this is a program for x86_64, and this is $(uname -m): build it here, see README.md" ;;
esac
if [ ! -e /lib64/ld-linux-x86-64.so.2 ]; then
  if ls /lib/ld-musl-* >/dev/null 2>&1; then
    fail "this system has musl, and the program wants glibc 2.17 or newer: build it here, see README.md"
  fi
  fail "there is no /lib64/ld-linux-x86-64.so.2: the program wants glibc 2.17 or newer"
fi
version=$("$here/bin/ami2amo" --version 2>&1) ||
  fail "the program does not run here; it wants glibc 2.17 or newer. The system says: $version"
if command -v dpkg-query >/dev/null 2>&1 &&
  dpkg-query -W -f '${db:Status-Abbrev}' ami2amo 2>/dev/null | grep -q '^.i'; then
  fail "the package ami2amo is installed: upgrade that one, or 'apt-get remove ami2amo' first"
fi

# ---- user and folders ----------------------------------------------------------------------------------------
if ! id ami2amo >/dev/null 2>&1; then
  nologin=/usr/sbin/nologin
  [ -x "$nologin" ] || nologin=/sbin/nologin
  useradd --system --user-group --no-create-home --home-dir "$store" --shell "$nologin" ami2amo
fi
mkdir -p "$etc" "$store"
chown root:root "$etc"
chmod 0755 "$etc"
chown ami2amo:ami2amo "$store"
chmod 0700 "$store"

# ---- program: put in its place in one step, so that one that runs is not touched ---------------------------------
put() { # MODE FILE PLACE
  mkdir -p "$(dirname "$3")"
  cp "$2" "$3.new"
  chown root:root "$3.new"
  chmod "$1" "$3.new"
  mv -f "$3.new" "$3"
}
put 0755 "$here/bin/ami2amo" /usr/local/bin/ami2amo
put 0755 "$here/ami2amo-foreground" /usr/local/sbin/ami2amo-foreground
put 0755 "$here/uninstall.sh" /usr/local/lib/ami2amo/uninstall.sh
for page in "$here"/man/*.1; do put 0644 "$page" "$share/man/man1/$(basename "$page")"; done
put 0644 "$here/completions/ami2amo.bash" "$share/bash-completion/completions/ami2amo"
put 0644 "$here/completions/_ami2amo" "$share/zsh/site-functions/_ami2amo"
put 0644 "$here/completions/ami2amo.fish" "$share/fish/vendor_completions.d/ami2amo.fish"
rm -rf "$share/doc/ami2amo"
mkdir -p "$share/doc"
cp -R "$here/doc" "$share/doc/ami2amo"
chown -R root:root "$share/doc/ami2amo"
chmod -R u=rwX,go=rX "$share/doc/ami2amo"

# ---- configuration and secrets: what is there stays ---------------------------------------------------------------
put 0644 "$here/ami2amo.toml" "$etc/ami2amo.toml.example"
[ -e "$etc/ami2amo.toml" ] || put 0644 "$here/ami2amo.toml" "$etc/ami2amo.toml"
for secret in ami-secret amocrm-token amocrm-secret cdr-password; do
  if [ -e "$etc/$secret" ]; then
    # Not the group's: who may ask the daemon need not know its secrets.
    chown ami2amo:root "$etc/$secret"
    chmod 0400 "$etc/$secret"
  fi
done

# ---- service ------------------------------------------------------------------------------------------------------
is_running=no
if [ -d /run/systemd/system ]; then
  put 0644 "$here/ami2amo.service" "$unit"
  systemctl daemon-reload
  if systemctl --quiet is-active ami2amo.service; then
    is_running=yes
    # Calls in progress are in the store: the new program goes on with them.
    systemctl restart ami2amo.service || fail "$version is installed and does not start: journalctl -u ami2amo -n 20"
  fi
  start="systemctl enable ami2amo && systemctl start ami2amo"
else
  start="let your supervisor run /usr/local/sbin/ami2amo-foreground (its first lines say how)"
  echo "There is no systemd here. Where ami2amo runs already, begin it anew now: in the middle of calls, too."
fi

echo "$version is installed."
[ "$is_running" = no ] || exit 0
cat <<END
Up to the first call, unless that is done:
  1. a manager user in Asterisk: $share/doc/ami2amo/asterisk/manager-ami2amo.conf
  2. its secret and amoCRM's token, each pasted, then Enter and Ctrl-D:
       install -m 400 -o ami2amo /dev/stdin $etc/ami-secret
       install -m 400 -o ami2amo /dev/stdin $etc/amocrm-token
  3. base-url and users in $etc/ami2amo.toml; then: ami2amo check
     (the same file in Russian: $share/doc/ami2amo/ami2amo.ru.toml)
  4. $start
END
