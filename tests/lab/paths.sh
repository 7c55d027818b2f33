# Where the lab lives; sourced by install, start and stop, which need root.
#   AMI2AMO_LAB_ROOT  the chroot and everything the PBX writes: never inside the repository
#   AMI2AMO_LAB_NET   three octets of the loopback range; the PBX is .1, the providers .2 and .3
#   AMI2AMO_LAB_PBX   which PBX in the chroot, when there are several: each has a folder and a range of its own
#   AMI2AMO_LAB_VERSION  of Asterisk: 22, or 16, which has a chroot of its own
#   AMI2AMO_LAB_STANZA  which file of config/asterisk/ is the manager user
# shellcheck shell=bash
lab_root=${AMI2AMO_LAB_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ami2amo-lab}
lab_net=${AMI2AMO_LAB_NET:-127.0.38}
lab_stanza=${AMI2AMO_LAB_STANZA:-manager-ami2amo.conf}
version=${AMI2AMO_LAB_VERSION:-22}
chroot_dir=$lab_root/asterisk
[ "$version" = 22 ] || chroot_dir=$lab_root/asterisk-$version
# The PBX's own folder, as the host sees it and as Asterisk inside the chroot does.
pbx=${AMI2AMO_LAB_PBX:-pbx}
pbx_dir=$chroot_dir/$pbx
secret_file=$lab_root/ami-secret${AMI2AMO_LAB_PBX:+-$AMI2AMO_LAB_PBX}
pidfile=$pbx_dir/run/asterisk.pid

cli() {
  chroot "$chroot_dir" /usr/sbin/asterisk -C "/$pbx/etc/asterisk.conf" -rx "$1"
}

# Prints the process id of the lab's PBX; fails when it is not running.
running_pid() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) || return 1
  [ "$(readlink "/proc/$pid/root")" = "$chroot_dir" ] || return 1
  # A number may have come to another process meanwhile, the other PBX of the chroot among them.
  grep -qF "/$pbx/etc/asterisk.conf" "/proc/$pid/cmdline" || return 1
  echo "$pid"
}

# Prints the process ids of all that runs in the chroot.
pids_in_chroot() {
  local root
  for root in /proc/[0-9]*/root; do
    [ "$(readlink "$root" 2>/dev/null)" != "$chroot_dir" ] || basename "${root%/root}"
  done
}
