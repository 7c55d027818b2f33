"""TLS towards the lab's PBX: its manager port with a certificate as Asterisk's own script makes it.

Asterisk's `contrib/scripts/ast_tls_cert`, which Debian does not package, makes an authority and, by `openssl x509 -req`
without extensions, a certificate of X.509 version 1 (OpenSSL 3.0 and older) whose host is the CN. The same steps here."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import office

PORT = 5039
SECONDS = 20

# What the daemon's log says: replies came through TLS, or no connection was made.
FOLLOWS, REFUSED = "the PBX is identified", "cannot follow"

SUBJECT = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = {name}\nO = Lab\n"
AUTHORITY = "[ext]\nbasicConstraints = CA:TRUE\n"
# Above the manager user, where [general] still goes on.
MANAGER = "\n[general](+)\ntlsenable = yes\ntlsbindaddr = {host}:{port}\ntlscertfile = /{folder}/etc/{file}\n"

CONFIG = """\
[[pbx]]
name = "lab"
host = "{host}"
username = "ami2amo"
secret-file = "{secret_file}"
{tls}

[amocrm]
base-url = "http://127.0.0.1:9"
token = "none"
default-user = 1

[store]
dir = "{folder}/store"

[admin]
socket = "{folder}/ctl.sock"
"""


def openssl(*arguments, folder):
    made = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return made.stdout


def make_certificate(folder, name):
    """What `ast_tls_cert -C name -d folder` leaves there: ca.crt and asterisk.pem."""
    (folder / "ca.cfg").write_text(SUBJECT.format(name="Asterisk Private CA") + AUTHORITY)
    (folder / "tmp.cfg").write_text(SUBJECT.format(name=name))
    openssl("genrsa", "-out", "ca.key", "4096", folder=folder)
    openssl("req", "-new", "-config", "ca.cfg", "-x509", "-days", "365", "-key", "ca.key", "-out", "ca.crt",
            "-extensions", "ext", folder=folder)
    openssl("genrsa", "-out", "asterisk.key", "2048", folder=folder)
    openssl("req", "-batch", "-new", "-config", "tmp.cfg", "-key", "asterisk.key", "-out", "asterisk.csr", folder=folder)
    openssl("x509", "-req", "-days", "365", "-in", "asterisk.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial",
            "01", "-out", "asterisk.crt", folder=folder)
    (folder / "asterisk.pem").write_text((folder / "asterisk.key").read_text() + (folder / "asterisk.crt").read_text())


def fingerprint(folder):
    """As docs/tls.md tells an administrator to read it: `sha256 Fingerprint=AB:CD:…`."""
    return openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", "asterisk.pem", folder=folder).strip()


def switch_on(folder):
    """Gives the certificate to the running PBX and waits for its TLS port."""
    etc = office.PBX.home / "etc"
    certificate = etc / "asterisk.pem"
    certificate.write_text((folder / "asterisk.pem").read_text())
    manager = etc / "manager.conf"
    with open(manager, "a") as conf:
        conf.write(MANAGER.format(host=office.PBX.host, port=PORT, folder=office.PBX.folder, file=certificate.name))
    office.PBX.console("manager reload")
    until = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((office.PBX.host, PORT), 1).close()
            return
        if time.monotonic() > until:
            raise RuntimeError(f"Asterisk does not listen on {PORT}: {office.PBX.console('manager show settings')}")
        time.sleep(0.2)


class Trial:
    """The program with one way to know the PBX."""

    def __init__(self, binary, keys):
        self.folder = tempfile.TemporaryDirectory(prefix="ami2amo-tls-")
        self.path = pathlib.Path(self.folder.name)
        text = CONFIG.format(host=office.PBX.host, secret_file=office.PBX.secret_file, tls=keys, folder=self.path)
        (self.path / "ami2amo.toml").write_text(text)
        self.command = [binary, "--config", self.path / "ami2amo.toml"]
        self.environment = {"PATH": os.environ["PATH"], "AMI2AMO_LOG": "debug"}

    def check(self):
        """Exit code and text of `ami2amo check`."""
        done = subprocess.run([*self.command, "check"], env=self.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=SECONDS)
        return done.returncode, done.stdout

    def run(self, *wanted):
        """Runs the daemon until its log has a line with one of the words; returns that line."""
        log = self.path / "log"
        with open(log, "wb") as output:
            daemon = subprocess.Popen([*self.command, "run"], env=self.environment, stdin=subprocess.DEVNULL,
                                      stdout=output, stderr=output)
        try:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until and daemon.poll() is None:
                for line in log.read_text(errors="replace").splitlines():
                    if any(word in line for word in wanted):
                        return line
                time.sleep(0.1)
            return "none of " + " / ".join(wanted) + ": " + log.read_text(errors="replace")[-2000:]
        finally:
            daemon.terminate()
            daemon.wait(SECONDS)


def try_all(binary):
    """Returns (what, passed, text) for each thing that was tried; the PBX keeps its TLS port."""
    with tempfile.TemporaryDirectory(prefix="ami2amo-cert-") as name:
        folder = pathlib.Path(name)
        make_certificate(folder, "pbx.example.org")
        switch_on(folder)
        version = re.search(r"Version: (\d)", openssl("x509", "-noout", "-text", "-in", "asterisk.pem", folder=folder))
        rows = [("tls: the certificate of Asterisk's script", True, f"X.509 version {version[1]}, CN only")]
        printed = fingerprint(folder)
        seen = "sha256:" + printed.split("=")[1].replace(":", "").lower()
        other = "sha256:" + "ab" * 32
        rows += pinned(binary, printed, seen, other)
        rows += vouched_for(binary, folder / "ca.crt", seen, version[1])
        return rows


def pinned(binary, printed, seen, other):
    line = Trial(binary, f'tls = "pin"\ntls-fingerprint = "{printed}"').run(FOLLOWS, REFUSED)
    yield "tls: the pinned certificate is taken", FOLLOWS in line, line
    line = Trial(binary, f'tls = "pin"\ntls-fingerprint = ["{other}", "{seen}"]').run(FOLLOWS, REFUSED)
    yield "tls: one of two pins is enough", FOLLOWS in line, line
    line = Trial(binary, f'tls = "pin"\ntls-fingerprint = "{other}"').run(FOLLOWS, REFUSED)
    yield "tls: a wrong pin is refused", "not the pinned one" in line and seen in line, line
    line = Trial(binary, 'tls = "pin"').run(FOLLOWS, REFUSED)
    yield "tls: without a pin the fingerprint is told", "no fingerprint is pinned" in line and seen in line, line
    code, text = Trial(binary, f'tls = "pin"\ntls-fingerprint = "{seen}"').check()
    yield "tls: check sees a trusted certificate", code != 78 and f"is trusted: {seen}" in text, find(text, "trusted")
    code, text = Trial(binary, f'tls = "pin"\ntls-fingerprint = "{other}"').check()
    yield "tls: check shows the fingerprint", code == 78 and f'tls-fingerprint = "{seen}"' in text, find(text, "→")
    line = Trial(binary, f'tls = "pin"\ntls-fingerprint = "{seen}"\nport = 5038').run(FOLLOWS, REFUSED)
    yield "tls: the plain port is named", "does not speak TLS at this port" in line, line


def vouched_for(binary, authority, seen, version):
    keys = f'tls = "ca"\ntls-ca-file = "{authority}"\ntls-name = "pbx.example.org"'
    reason = {"1": "X.509 version 1", "3": "as CN"}[version]
    line = Trial(binary, keys).run(FOLLOWS, REFUSED)
    yield "tls: an authority's mode says why not", reason in line and seen in line, line
    code, text = Trial(binary, keys).check()
    yield "tls: and so does check", code == 78 and reason in text, find(text, reason)


def find(text, word):
    return next((line.strip() for line in text.splitlines() if word in line), text)


def main():
    """By itself, on a PBX that runs already: tls.py BINARY"""
    rows = try_all(sys.argv[1])
    for what, passed, text in rows:
        print("ok   " if passed else "WRONG", f"{what:45}", text)
    sys.exit(0 if all(passed for _, passed, _ in rows) else 1)


if __name__ == "__main__":
    main()
