#!/bin/sh
# Removes what install.sh has put there. Configuration, secrets and calls stay, unless it is called with --purge.
set -eu

fail() {
  echo "uninstall.sh: $*" >&2
  exit 1
}

purge=no
case ${1:-} in
  "") ;;
  --purge) purge=yes ;;
  *) fail "usage: uninstall.sh [--purge]" ;;
esac
[ "$(id -u)" = 0 ] || fail "be root"

if [ -d /run/systemd/system ] && [ -e /etc/systemd/system/ami2amo.service ]; then
  systemctl stop ami2amo.service || true
  systemctl disable ami2amo.service 2>/dev/null || true
fi
for exe in /proc/[0-9]*/exe; do
  case $(readlink "$exe" 2>/dev/null) in
    # Behind the name may stand "(deleted)": it was upgraded and not begun anew.
    /usr/local/bin/ami2amo*)
      process=${exe#/proc/}
      fail "process ${process%/exe} of it runs: stop it where it was begun, then say this again"
      ;;
  esac
done

if [ -d /var/lib/ami2amo/queue ] && [ -x /usr/local/bin/ami2amo ]; then
  mkdir -p /var/backups
  # In a folder of root's: whoever owns the store cannot have another file written over.
  kept=/var/backups/ami2amo-undelivered-$(date -u +%Y%m%dT%H%M%SZ).jsonl
  if (umask 077 && /usr/local/bin/ami2amo queue export --language en >"$kept" 2>"$kept.said"); then
    if [ -s "$kept" ]; then
      echo "Calls that are not in amoCRM: $(wc -l <"$kept"). They are in $kept"
      echo "  (with telephone numbers in it): 'ami2amo queue import' takes them in again."
    else
      rm -f "$kept"
    fi
  else
    cat "$kept.said" >&2
    rm -f "$kept" "$kept.said"
    [ "$purge" = no ] || fail "the queue cannot be read: nothing was removed; without --purge it is kept"
  fi
  rm -f "$kept.said"
fi

rm -f /etc/systemd/system/ami2amo.service /usr/local/bin/ami2amo /usr/local/sbin/ami2amo-foreground
rm -f /usr/local/share/man/man1/ami2amo.1 /usr/local/share/man/man1/ami2amo-*.1
rm -f /usr/local/share/bash-completion/completions/ami2amo /usr/local/share/zsh/site-functions/_ami2amo \
  /usr/local/share/fish/vendor_completions.d/ami2amo.fish
rm -rf /usr/local/share/doc/ami2amo /usr/local/lib/ami2amo
# Folders that may have been made for it; one with something in it stays.
for folder in man/man1 bash-completion/completions bash-completion zsh/site-functions zsh fish/vendor_completions.d fish doc; do
  rmdir "/usr/local/share/$folder" 2>/dev/null || true
done
[ ! -d /run/systemd/system ] || systemctl daemon-reload

if [ "$purge" = yes ]; then
  rm -rf /etc/ami2amo /var/lib/ami2amo /run/ami2amo
  # No file of its is left to which another user of its number could come.
  userdel ami2amo 2>/dev/null || true
  groupdel ami2amo 2>/dev/null || true
  echo "ami2amo is removed, with configuration, secrets and calls."
else
  echo "ami2amo is removed. Configuration and secrets stay in /etc/ami2amo, calls in /var/lib/ami2amo."
fi
