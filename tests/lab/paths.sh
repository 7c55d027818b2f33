# Where the lab lives; sourced by install, start and stop, which need root.
#   AMI2AMO_LAB_ROOT  the chroot and everything the PBX writes: never inside the repository
#   AMI2AMO_LAB_NET   three octets of the loopback range; the PBX is .1, the providers .2 and .3
# shellcheck shell=bash
lab_root=${AMI2AMO_LAB_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ami2amo-lab}
lab_net=${AMI2AMO_LAB_NET:-127.0.38}
chroot_dir=$lab_root/asterisk
# The PBX's own folder, as the host sees it and as Asterisk inside the chroot does.
pbx_dir=$chroot_dir/pbx
pidfile=$pbx_dir/run/asterisk.pid

cli() {
  chroot "$chroot_dir" /usr/sbin/asterisk -C /pbx/etc/asterisk.conf -rx "$1"
}

# Prints the process id of the lab's PBX; fails when it is not running.
running_pid() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) || return 1
  [ "$(readlink "/proc/$pid/root")" = "$chroot_dir" ] || return 1
  echo "$pid"
}
