#!/usr/bin/env python3
"""Installs, starts, upgrades in the middle of a call and removes the packages of packaging/make, on small Debian machines.

    tests/package/trial.py DEB NEWER_DEB TARBALL NEWER_TARBALL

Debian 12 with its systemd as the first process takes the .deb; Debian 11, the oldest that the mirrors have, takes the
tar.gz, first with its systemd 247, then without any. PBX and amoCRM are fakes on loopback. Needs root."""
import os
import pathlib
import shutil
import subprocess
import sys

import ami
import machine
from machine import Failed, Foreground, Machine, wait_for

sys.path.insert(0, str(machine.HERE.parent / "lab"))
import amocrm  # noqa: E402

SECRET, TOKEN = "s3cret", "t0ken"
FOLDER = machine.HERE.parents[1] / "target/package/trial"
CONFIG = "/etc/ami2amo/ami2amo.toml"
PHONES = ["79161234501", "79161234502", "79161234503"]
# Calls to the system that CentOS 7's Linux 3.10 does not have: there they fail as unknown. That they do is tried with
# getrandom (318) before each start, which fails otherwise.
OLD_KERNEL = """[Service]
ExecStartPre=/usr/bin/perl -e 'exit !(syscall(318, my $bytes = "12345678", 8, 0) == -1 && $! == 38)'
SystemCallErrorNumber=ENOSYS
SystemCallFilter=~sched_setattr sched_getattr renameat2 getrandom memfd_create bpf seccomp execveat userfaultfd \\
  membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq \\
  pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree clone3 close_range openat2 pidfd_open \\
  pidfd_getfd faccessat2 epoll_pwait2
"""

done = []


def shown(what, holds=True):
    """One thing that was to be shown."""
    if not holds:
        raise Failed(f"not so: {what}")
    done.append(what)
    print(f"ok     {what}", flush=True)


class World:
    """A machine, the PBX and the amoCRM that it talks to."""

    def __init__(self, machine):
        self.machine, self.pbx, self.crm = machine, ami.Pbx(SECRET), amocrm.AmoCrm(TOKEN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pbx.close()
        self.crm.close()

    def configure(self, *secrets):
        """What a person does after the installation, as its last lines say."""
        file = self.machine.path(CONFIG)
        text = file.read_text()
        for old, new in (("##port = 5038", f"port = {self.pbx.port}"),
                         ('base-url = "https://example.amocrm.ru"', f'base-url = "{self.crm.url}"'),
                         ("##default-user = 504141", "default-user = 504141")):
            if old not in text:
                raise Failed(f"the configuration has no {old!r}")
            text = text.replace(old, new, 1)
        file.write_text(text)
        for name, secret in (("ami-secret", SECRET), ("amocrm-token", TOKEN)):
            self.machine.run("install", *secrets, "/dev/stdin", f"/etc/ami2amo/{name}", given=secret + "\n")
        self.machine.run("ami2amo", "check", "--offline")

    def sees_call(self, phone):
        """Waits until the daemon shows the call as one in progress."""
        wait_for(f"the call of {phone}", lambda: phone in self.machine.run("ami2amo", "calls", "--json", fails=True))

    def is_delivered(self, number, phone):
        """Waits until amoCRM has `number` calls, the last with this phone."""
        wait_for(f"call {number} in amoCRM", lambda: len(self.crm.calls) >= number)
        # Whatever waits is delivered: what comes twice would have come.
        wait_for("an empty queue", lambda: "pending" not in self.queue() and "sending" not in self.queue())
        calls = [call for _, call in self.crm.calls]
        return (len(calls) == number and calls[-1]["phone"] == f"+{phone}" and calls[-1]["call_status"] == 4
                and not self.crm.faults)

    def queue(self):
        return self.machine.run("ami2amo", "queue", "list", "--json")

    def upgraded_in_mid_call(self, upgrade, pid, how):
        """A call begins, the package is upgraded, the call ends: it is there once, whole."""
        logins, delivered, phone = self.pbx.logins, len(self.crm.calls), PHONES[len(self.crm.calls)]
        call = self.pbx.begin(phone)
        self.sees_call(phone)
        old = pid()
        upgrade()
        self.pbx.wait_for_login(logins + 1)
        shown(f"{how}: the program was begun anew", pid() != old)
        self.sees_call(phone)
        self.pbx.end(call)
        shown(f"{how}: the call under way is delivered once, answered", self.is_delivered(delivered + 1, phone))

    def leaves_a_call_behind(self):
        """A call that amoCRM is not given."""
        self.machine.run("ami2amo", "pause", "--why", "trial")
        call = self.pbx.begin(PHONES[-1])
        self.sees_call(PHONES[-1])
        self.pbx.end(call)
        wait_for("a call that waits", lambda: "pending" in self.queue())


def main_pid(debian):
    return debian.run("systemctl", "show", "-p", "MainPID", "--value", "ami2amo").strip()


def owner(debian, pid):
    """Who runs a process."""
    return debian.run("stat", "-c", "%U", f"/proc/{pid}").strip()


def state(debian, word):
    return debian.run("systemctl", f"is-{word}", "ami2amo", fails=True).strip().splitlines()[-1]


def left_behind(debian, before, kept):
    """What is there that was not, and is no copy of calls that amoCRM lacks."""
    more = {name for name in debian.files() - before if not name.startswith("var/backups/ami2amo-undelivered-")}
    return sorted(more - set(kept))


def undelivered(debian):
    """The copies of calls that amoCRM lacks."""
    return list(debian.path("/var/backups").glob("ami2amo-undelivered-*.jsonl"))


# ---- the .deb ------------------------------------------------------------------------------------------------


def package(deb, newer):
    with Machine("bookworm", FOLDER, machine.SYSTEMD) as debian, World(debian) as world:
        before = debian.files()
        for name, file in (("old.deb", deb), ("new.deb", newer)):
            shutil.copy(file, debian.path(f"/opt/{name}"))
        said = debian.run("dpkg", "-i", "/opt/old.deb")
        shown("deb: says what to do, and starts nothing that has no secrets",
              "systemctl enable --now ami2amo" in said and state(debian, "active") == "inactive"
              and state(debian, "enabled") == "disabled")
        for file in ("/usr/share/man/man1/ami2amo-queue-list.1.gz", "/usr/share/bash-completion/completions/ami2amo",
                     "/usr/share/doc/ami2amo/asterisk/manager-ami2amo.conf", "/usr/share/doc/ami2amo/README.md.gz",
                     "/usr/share/doc/ami2amo/ami2amo.ru.toml"):
            if not debian.path(file).exists() and not debian.path(file.removesuffix(".gz")).exists():
                raise Failed(f"the package has no {file}")
        world.configure("-m", "644")
        debian.run("systemctl", "enable", "--now", "ami2amo")
        world.pbx.wait_for_login(1)
        shown("deb: runs as its own user, secrets given by systemd",
              owner(debian, main_pid(debian)) == "ami2amo")
        group_may_ask(debian)
        world.upgraded_in_mid_call(lambda: debian.run("dpkg", "-i", "/opt/new.deb"), lambda: main_pid(debian),
                                   "deb, upgrade")
        debian.run("systemctl", "stop", "ami2amo")
        debian.run("dpkg", "-i", "/opt/new.deb")
        shown("deb, upgrade: a service that was stopped by hand stays so",
              state(debian, "active") == "inactive" and state(debian, "enabled") == "enabled")
        logins = world.pbx.logins
        debian.run("systemctl", "start", "ami2amo")
        world.pbx.wait_for_login(logins + 1)
        modes = debian.run("stat", "-c", "%a", "/etc/ami2amo/ami-secret", "/etc/ami2amo/amocrm-token").split()
        shown("deb: secrets that anybody could read are root's alone again", modes == ["600", "600"])
        world.leaves_a_call_behind()
        said = debian.run("dpkg", "--remove", "ami2amo")
        copies = undelivered(debian)
        shown("deb, removal: a call that amoCRM lacks is named and copied, for root alone",
              "that are not in amoCRM: 1" in said and len(copies) == 1 and copies[0].stat().st_mode & 0o777 == 0o600
              and PHONES[-1] in copies[0].read_text() and debian.path("/var/lib/private/ami2amo/queue").exists())
        debian.run("dpkg", "-i", "/opt/new.deb")
        shown("deb, installed again: enabled as before, it runs and knows the call",
              state(debian, "active") == "active" and "pending" in world.queue())
        said = debian.run("dpkg", "--purge", "ami2amo")
        left = left_behind(debian, before, ["opt/old.deb", "opt/new.deb"])
        shown(f"deb, purge: leaves nothing behind but those calls {left or ''}",
              not left and "that are not in amoCRM: 1" in said and state(debian, "active") == "inactive")
        shown("deb: each call was posted once", [call["phone"] for _, call in world.crm.calls] == [f"+{PHONES[0]}"])


def group_may_ask(debian):
    """Who is in the group may ask the daemon, others may not."""
    debian.run("useradd", "watcher")
    ask = ["setpriv", "--reuid=watcher", "--regid=watcher", "--init-groups", "ami2amo", "status", "--json"]
    refused = debian.code(*ask)
    debian.run("usermod", "-aG", "ami2amo", "watcher")
    shown("deb: a member of the group ami2amo may ask, another user may not", refused != 0 and debian.code(*ask) == 0)
    debian.run("userdel", "watcher")


# ---- the tar.gz ------------------------------------------------------------------------------------------------


def unpacked(debian, tarball, name):
    """The folder of a tarball on the machine."""
    place = debian.path(f"/opt/{name}")
    place.mkdir()
    subprocess.run(["tar", "-xzf", tarball, "-C", place], check=True)
    return f"/opt/{name}/" + next(place.iterdir()).name


def refusals(debian, folder):
    said = debian.run("cp", "-R", folder, "/tmp/unpacked") + debian.run(
        "setpriv", "--reuid=65534", "--clear-groups", "/tmp/unpacked/install.sh", fails=True)
    shown("tar.gz: refuses whoever is not root", "be root" in said)
    debian.path("/opt/bin").mkdir()
    debian.path("/opt/bin/uname").write_text('#!/bin/sh\n[ "$1" = -m ] && echo aarch64 || echo Linux\n')
    debian.path("/opt/bin/uname").chmod(0o755)
    said = debian.run("env", "PATH=/opt/bin:/usr/bin:/bin", f"{folder}/install.sh", fails=True)
    shown("tar.gz: refuses another processor", "for x86_64, and this is aarch64" in said)
    shutil.rmtree(debian.path("/opt/bin"))
    # A machine of busybox, with the loader of musl and without that of glibc.
    other = "/tmp/musl"
    debian.run("mkdir", "-p", f"{other}/bin", f"{other}/dev", f"{other}/lib")
    debian.run("cp", "/bin/busybox", f"{other}/bin/busybox")
    debian.run("chroot", other, "/bin/busybox", "--install", "-s", "/bin")
    debian.run("touch", f"{other}/dev/null", f"{other}/lib/ld-musl-x86_64.so.1")
    debian.run("cp", "-R", folder, f"{other}/unpacked")
    said = debian.run("chroot", other, "/bin/sh", "/unpacked/install.sh", fails=True)
    shown("tar.gz: refuses musl", "has musl, and the program wants glibc 2.17" in said)
    shown("tar.gz: what is refused changes nothing", not debian.path("/etc/ami2amo").exists())


def as_on_an_old_kernel(debian):
    """For the whole trial: the service finds no newer calls to the system."""
    folder = debian.path("/etc/systemd/system/ami2amo.service.d")
    folder.mkdir()
    (folder / "old-kernel.conf").write_text(OLD_KERNEL)
    debian.run("systemctl", "daemon-reload")


def tarball(old, newer):
    with Machine("bullseye", FOLDER, machine.SYSTEMD) as debian, World(debian) as world:
        first, second = unpacked(debian, old, "first"), unpacked(debian, newer, "second")
        before = debian.files()
        refusals(debian, first)
        said = debian.run(f"{first}/install.sh")
        shown("tar.gz: says what to do, and starts nothing that has no secrets",
              "systemctl enable ami2amo" in said and state(debian, "active") == "inactive")
        debian.run("cp", "/usr/local/share/doc/ami2amo/ami2amo.ru.toml", CONFIG)
        world.configure("-m", "400", "-o", "ami2amo")
        shown("tar.gz: the configuration in Russian is as good as the other one", "служба" in debian.path(CONFIG).read_text())
        text = debian.path(CONFIG).read_text()
        debian.run(f"{first}/install.sh")
        shown("tar.gz, twice: the configuration stays", debian.path(CONFIG).read_text() == text)
        as_on_an_old_kernel(debian)
        debian.run("systemctl", "enable", "ami2amo")
        debian.run("systemctl", "start", "ami2amo")
        world.pbx.wait_for_login(1)
        shown("tar.gz: its program starts without the calls to the system that Linux 3.10 lacks")
        said = debian.run("systemctl", "--version").split()[1]
        shown(f"tar.gz: its unit runs under systemd {said}, as its own user",
              owner(debian, main_pid(debian)) == "ami2amo")
        old = main_pid(debian)
        debian.run("systemctl", "reload", "ami2amo")
        shown("tar.gz: is reloaded, and runs on", state(debian, "active") == "active" and main_pid(debian) == old)
        world.upgraded_in_mid_call(lambda: debian.run(f"{second}/install.sh"), lambda: main_pid(debian), "tar.gz, upgrade")
        world.leaves_a_call_behind()
        said = debian.run("/usr/local/lib/ami2amo/uninstall.sh")
        shown("tar.gz, uninstalled: calls, configuration and secrets stay",
              "that are not in amoCRM: 1" in said and debian.path("/var/lib/ami2amo/queue").exists()
              and debian.path("/etc/ami2amo/amocrm-token").exists() and not debian.path("/usr/local/bin/ami2amo").exists())
        debian.run(f"{second}/install.sh")
        debian.run("/usr/local/lib/ami2amo/uninstall.sh", "--purge")
        left = left_behind(debian, before, [f"etc/systemd/system/ami2amo.service.d{file}" for file in ("", "/old-kernel.conf")])
        shown(f"tar.gz, purged: leaves nothing behind but those calls {left or ''}", not left)
        shown("tar.gz: each call was posted once", [call["phone"] for _, call in world.crm.calls] == [f"+{PHONES[0]}"])


def foreground(old, newer):
    """The same machine without systemd: somebody else starts the program."""
    with Machine("bullseye", FOLDER, machine.IDLE) as debian, World(debian) as world:
        first, second = [next(debian.path(f"/opt/{name}").iterdir()).name for name in ("first", "second")]
        before = debian.files()
        said = debian.run(f"/opt/first/{first}/install.sh")
        shown("tar.gz without systemd: says how to run it", "ami2amo-foreground" in said)
        world.configure("-m", "400", "-o", "ami2amo")
        runs = Foreground(debian, "/usr/local/sbin/ami2amo-foreground")
        try:
            world.pbx.wait_for_login(1)
            shown("foreground: is the process itself, as its own user",
                  pathlib.Path(f"/proc/{runs.pid}/comm").read_text().strip() == "ami2amo"
                  and os.stat(f"/proc/{runs.pid}").st_uid == int(debian.run("id", "-u", "ami2amo")))

            def upgrade():
                nonlocal runs
                debian.run(f"/opt/second/{second}/install.sh")
                if runs.end() != 0:
                    raise Failed("the daemon did not end in order")
                runs = Foreground(debian, "/usr/local/sbin/ami2amo-foreground")

            world.upgraded_in_mid_call(upgrade, lambda: runs.pid, "foreground, upgrade")
            said = debian.run("/usr/local/lib/ami2amo/uninstall.sh", "--purge", fails=True)
            shown("foreground: is not removed while it runs", "stop it where it was begun" in said)
            shown("foreground: ends in order", runs.end() == 0)
        finally:
            runs.kill()
        debian.run("/usr/local/lib/ami2amo/uninstall.sh", "--purge")
        left = left_behind(debian, before, [])
        shown(f"foreground, purged: leaves nothing behind {left or ''}", not left)
        shown("foreground: each call was posted once", [call["phone"] for _, call in world.crm.calls] == [f"+{PHONES[0]}"])


def main():
    deb, newer_deb, old, newer = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(FOLDER, ignore_errors=True)
    code = 0
    try:
        package(deb, newer_deb)
        tarball(old, newer)
        foreground(old, newer)
    except Failed as wrong:
        for journal in FOLDER.glob("*/var/log/journal"):
            print(f"---- the log of {journal}", flush=True)
            subprocess.run(["journalctl", "-D", journal, "-o", "cat", "-n", "60", "--no-pager"], check=False)
        print(f"FAILED {wrong}", flush=True)
        code = 1
    else:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print(f"package: {len(done)} passed, {code} failed")
    return code


if __name__ == "__main__":
    sys.exit(main())
