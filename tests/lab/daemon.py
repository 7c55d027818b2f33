"""`ami2amo run` under trial: its configuration, its process, and what it keeps."""
import collections
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import office

USERS = {str(extension): 504000 + extension for extension in office.DESKS}
DEFAULT_USER = 504999

READY_SECONDS, STOP_SECONDS, COMMAND_SECONDS = 20, 20, 20
LOG_LINES = 60

PBX_CONFIG = """\
[[pbx]]
name = "{name}"
host = "{host}"
port = {port}
username = "ami2amo"
secret-file = "{secret_file}"
"""
CDR_CONFIG = """\
[pbx.cdr]
kind = "csv"
path = "{path}"
batch-time = "0s"
"""
CONFIG = """\
[amocrm]
base-url = "{url}"
token-file = "{folder}/token"
requests-per-second = 5
default-user = {default_user}

[amocrm.users]
{users}

[store]
dir = "{folder}/store"

[admin]
socket = "{folder}/ctl.sock"
"""


class Failed(Exception):
    """The check cannot go on."""


def pbx_config(pbx, host=None, port=5038, cdr=""):
    """The tables of one PBX; `host` and `port` are those of what stands before it, `cdr` says where its records are."""
    return PBX_CONFIG.format(name=pbx.folder, host=host or pbx.host, port=port, secret_file=pbx.secret_file) + cdr


def csv_config(pbx, cel=False):
    """The records are in Asterisk's own files, its channel events with them."""
    cel = f'cel = "{pbx.home / "log/cel-custom/Master.csv"}"\n' if cel else ""
    return CDR_CONFIG.format(path=pbx.home / "log/cdr-csv/Master.csv") + cel


class Daemon:
    """A daemon with a configuration, a store and a log of its own in a folder; it may be started again and again.

    With `notices` it tells when it is ready; somebody must read them then, or it waits in the end."""

    def __init__(self, binary, folder, url, token, pbxs, more="", notices=True):
        self.binary, self.folder, self.log = binary, folder, folder / "log"
        self.process = None
        (folder / "token").write_text(token)
        (folder / "token").chmod(0o600)
        users = "\n".join(f"{extension} = {user}" for extension, user in USERS.items())
        (folder / "ami2amo.toml").write_text("\n".join(pbxs) + "\n" + CONFIG.format(
            url=url, folder=folder, default_user=DEFAULT_USER, users=users) + more)
        self.environment = {"PATH": os.environ["PATH"]}
        if notices:
            self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self.notices.bind(str(folder / "notify"))
            self.environment["NOTIFY_SOCKET"] = str(folder / "notify")

    def start(self):
        self.started = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--config", self.folder / "ami2amo.toml", "run"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment)
        return self

    def wait_ready(self):
        """Waits for READY=1; returns the seconds since the start."""
        while (left := self.started + READY_SECONDS - time.monotonic()) > 0:
            self.check_alive()
            self.notices.settimeout(min(left, 0.2))
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in self.notices.recv(4096).split(b"\n"):
                    return time.monotonic() - self.started
        raise Failed(f"no READY=1 in {READY_SECONDS} s")

    def check_alive(self):
        if self.process.poll() is not None:
            raise Failed(f"the daemon ended with code {self.process.returncode}")

    def memory_mib(self):
        return self._status("VmRSS") / 1024

    def wakeups(self):
        """Voluntary context switches so far, by the names of the tasks without their numbers."""
        sums = collections.Counter()
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            name = pathlib.Path(f"/proc/{self.process.pid}/task/{task}/comm").read_text().strip()
            sums[name.rstrip("0123456789-")] += self._status("voluntary_ctxt_switches", task)
        return sums

    def _status(self, key, task=None):
        pid = self.process.pid
        text = pathlib.Path(f"/proc/{pid}/task/{task or pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(key + ":"))

    def stop(self):
        """Asks it to end; returns the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"none in {STOP_SECONDS} s"

    def kill(self):
        """`kill -9`."""
        self.process.kill()
        self.process.wait()

    def command(self, *args):
        """Another command with the same configuration; returns its code and what it printed."""
        done = subprocess.run([self.binary, "--config", self.folder / "ami2amo.toml", *args], capture_output=True,
                              text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout or done.stderr

    def records(self):
        """The records of all calls that it took in, from its journal: a call's last entry counts."""
        records = {}
        for day in sorted((self.folder / "store/journal").glob("*.jsonl")):
            for line in day.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):  # the power may have gone in the middle of a line
                    entry = json.loads(line)
                    if "E" in entry:
                        records[entry["E"]] = entry["call"].get("record", entry["call"])
        return list(records.values())

    def lines(self):
        return self.log.read_text(errors="replace").splitlines()

    def last_lines(self):
        return "\n".join(self.lines()[-LOG_LINES:])
