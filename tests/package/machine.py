"""Small Debian machines on this one: a chroot with processes, mounts and a first process of its own."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ami2amo-ci"
BOOT_SECONDS, COMMAND_SECONDS, END_SECONDS = 60, 120, 30
# What is beside systemd itself in every machine: busybox is the one of a machine with another C library.
PACKAGES = "systemd,busybox-static"
SYSTEMD = ["/lib/systemd/systemd", "--system", "--log-target=journal"]
IDLE = ["/usr/bin/tail", "-f", "/dev/null"]
# What runs here writes these folders, whoever is installed.
OTHERS = ("dev/", "proc/", "run/", "sys/", "tmp/", "var/cache/", "var/lib/dpkg/", "var/lib/systemd/", "var/log/")
# Made by systemd for the first service with a state folder, and by whoever makes users.
OTHERS_FILES = ("var/lib/private", "etc/machine-id", "etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-",
                "etc/gshadow-", "etc/subuid-", "etc/subgid-", "etc/.updated", "var/.updated")


class Failed(Exception):
    """The trial cannot go on."""


def mirror():
    """The one that this machine's own apt uses for Debian."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)"], check=True,
                            capture_output=True, text=True).stdout
    found = [words[0] for words in map(str.split, listed.splitlines()) if words[1:] == ["Debian"] and "security" not in words[0]]
    if not found:
        raise Failed("no Debian mirror in the apt configuration")
    return found[0]


def cached(suite):
    """A bare Debian of that suite, made once."""
    made = CACHE / f"debian-{suite}"
    if not (made / ".complete").exists():
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, made, mirror()], check=True)
        (made / ".complete").touch()
    return made


class Machine:
    """A copy of a bare Debian. As a context it runs, with `first` as its first process."""

    def __init__(self, suite, folder, first):
        self.root, self.first, self._inside = folder / suite, first, None
        if not self.root.exists():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", cached(suite), self.root], check=True)

    def __enter__(self):
        names = ["--pid", "--mount", "--ipc", "--uts", "--cgroup"]
        self._process = subprocess.Popen(
            ["unshare", *names, "--fork", "--kill-child", HERE / "boot", self.root, *self.first],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            self._wait_for_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # What it has begun ends with its first process.
        self._process.kill()
        self._process.wait()
        self._inside = None

    def _wait_for_boot(self):
        self._inside = wait_for("the first process", lambda: first_child(self._process.pid))
        # It becomes that program only when all is mounted.
        wanted = os.path.realpath(self.root / self.first[0].lstrip("/"))
        wait_for("the machine", lambda: self._is_program(wanted), BOOT_SECONDS)
        if self.first == SYSTEMD:
            wait_for("systemd", lambda: self.run("systemctl", "is-system-running", fails=True).strip() in
                     ("running", "degraded"), BOOT_SECONDS)

    def _is_program(self, path):
        with contextlib.suppress(OSError):
            # Its root is another one: compared are the files.
            return os.path.samefile(f"/proc/{self._inside}/exe", path)
        return False

    def enter(self, *words):
        """The command line by which something runs inside."""
        return ["nsenter", "-t", str(self._inside), "-m", "-p", "-i", "-u", "-C", "-r", "-w", "env", "-i", "HOME=/root",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", *words]

    def run(self, *words, fails=False, given=""):
        """Runs a command; returns what it printed. One that fails ends the trial, unless `fails` allows it."""
        done = subprocess.run(self.enter(*words), input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=COMMAND_SECONDS)
        if done.returncode and not fails:
            raise Failed(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def code(self, *words):
        """The exit code of a command."""
        return subprocess.run(self.enter(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=COMMAND_SECONDS).returncode

    def path(self, name):
        return self.root / name.lstrip("/")

    def files(self):
        """Every file, folder and link but those of others."""
        found = set()
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                found.add(os.path.relpath(os.path.join(folder, name), self.root))
        return {name for name in found if not (name + "/").startswith(OTHERS) and name not in OTHERS_FILES}


class Foreground:
    """A command in the foreground of a machine, as a supervisor has it."""

    def __init__(self, machine, *words):
        self._process = subprocess.Popen(machine.enter(*words), stdin=subprocess.DEVNULL)
        # nsenter waits for its child, which becomes the command.
        self.pid = wait_for("the command", lambda: first_child(self._process.pid))

    def end(self):
        """Ends it in order; returns its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self._process.wait(END_SECONDS)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait(END_SECONDS)


def first_child(pid):
    with contextlib.suppress(OSError):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None
    return None


def wait_for(what, look, seconds=30):
    """Until `look` finds something, which is returned."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.05)
    raise Failed(f"{what} did not come within {seconds} s")
