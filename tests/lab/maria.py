"""A MariaDB from Debian's packages, in a folder of its own, to which the lab's PBXs write their records.

It listens on one port of loopback and on a socket in its folder, and ends with whoever started it. Each PBX has a
database of its own with FreePBX's tables `cdr` and `cel`; Asterisk writes as `asterisk`, daemons read as `ami2amo`.
"""
import os
import pathlib
import pwd
import secrets
import socket
import subprocess
import time

import office
from daemon import Failed

PROGRAM = pathlib.Path("/usr/sbin/mariadbd")
INSTALL_SECONDS, MAKE_SECONDS, START_SECONDS, STOP_SECONDS, QUERY_SECONDS = 600, 120, 60, 20, 20

# As FreePBX's installer makes them.
TABLES = """\
CREATE TABLE cdr (calldate DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00', clid VARCHAR(80) NOT NULL DEFAULT '',
  src VARCHAR(80) NOT NULL DEFAULT '', dst VARCHAR(80) NOT NULL DEFAULT '', dcontext VARCHAR(80) NOT NULL DEFAULT '',
  channel VARCHAR(80) NOT NULL DEFAULT '', dstchannel VARCHAR(80) NOT NULL DEFAULT '', lastapp VARCHAR(80) NOT NULL DEFAULT '',
  lastdata VARCHAR(80) NOT NULL DEFAULT '', duration INT NOT NULL DEFAULT 0, billsec INT NOT NULL DEFAULT 0,
  disposition VARCHAR(45) NOT NULL DEFAULT '', amaflags INT NOT NULL DEFAULT 0, accountcode VARCHAR(20) NOT NULL DEFAULT '',
  uniqueid VARCHAR(32) NOT NULL DEFAULT '', userfield VARCHAR(255) NOT NULL DEFAULT '', did VARCHAR(50) NOT NULL DEFAULT '',
  recordingfile VARCHAR(255) NOT NULL DEFAULT '', cnum VARCHAR(80) NOT NULL DEFAULT '', cnam VARCHAR(80) NOT NULL DEFAULT '',
  outbound_cnum VARCHAR(80) NOT NULL DEFAULT '', outbound_cnam VARCHAR(80) NOT NULL DEFAULT '',
  dst_cnam VARCHAR(80) NOT NULL DEFAULT '', linkedid VARCHAR(32) NOT NULL DEFAULT '', peeraccount VARCHAR(80) NOT NULL DEFAULT '',
  sequence INT NOT NULL DEFAULT 0, KEY calldate (calldate), KEY dst (dst), KEY accountcode (accountcode),
  KEY uniqueid (uniqueid)) DEFAULT CHARSET utf8mb4;
CREATE TABLE cel (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, eventtype VARCHAR(30) NOT NULL, eventtime DATETIME NOT NULL,
  cid_name VARCHAR(80) NOT NULL, cid_num VARCHAR(80) NOT NULL, cid_ani VARCHAR(80) NOT NULL, cid_rdnis VARCHAR(80) NOT NULL,
  cid_dnid VARCHAR(80) NOT NULL, exten VARCHAR(80) NOT NULL, context VARCHAR(80) NOT NULL, channame VARCHAR(80) NOT NULL,
  appname VARCHAR(80) NOT NULL, appdata VARCHAR(255) NOT NULL, amaflags INT NOT NULL, accountcode VARCHAR(20) NOT NULL,
  uniqueid VARCHAR(32) NOT NULL, linkedid VARCHAR(32) NOT NULL, peer VARCHAR(80) NOT NULL, userdeftype VARCHAR(255) NOT NULL,
  extra VARCHAR(512) NOT NULL, KEY uniqueid_index (uniqueid), KEY linkedid_index (linkedid)) DEFAULT CHARSET utf8mb4;
"""
CONFIG = """\
[pbx.cdr]
kind = "mysql"
host = "127.0.0.1"
port = {port}
user = "ami2amo"
password = "{password}"
database = "{database}"
batch-time = "0s"
"""


def install():
    """The server, where it is missing."""
    packages = office.HERE.parent / "cdr/packages"
    subprocess.run([packages, f"{PROGRAM}=mariadb-server"], check=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)


class Maria:
    """A server in `folder` with a database for each of `pbxs`."""

    def __init__(self, folder, pbxs):
        self.folder, self.passwords = folder, {user: secrets.token_hex(12) for user in ("asterisk", "ami2amo")}
        self.user = pwd.getpwuid(os.getuid()).pw_name
        data = folder / "data"
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", f"--user={self.user}",
                        "--auth-root-authentication-method=normal"], check=True, capture_output=True, timeout=MAKE_SECONDS)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--no-defaults", f"--datadir={data}", f"--user={self.user}", f"--socket={folder}/socket",
                 f"--pid-file={folder}/pid", "--bind-address=127.0.0.1", f"--port={self.port}", "--skip-log-bin",
                 "--innodb-buffer-pool-size=16M"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.wait()
            for pbx in pbxs:
                self.make(pbx.folder)
        except BaseException:
            self.stop()
            raise

    def wait(self):
        until = time.monotonic() + START_SECONDS
        while not self.asked("SELECT 1"):
            if self.process.poll() is not None or time.monotonic() > until:
                log = (self.folder / "log").read_text(errors="replace")
                raise Failed(f"MariaDB does not start: {log[-500:]}")
            time.sleep(0.2)

    def make(self, database):
        """Whoever reads may do that and nothing else."""
        write, read = self.passwords["asterisk"], self.passwords["ami2amo"]
        self.run(f"CREATE DATABASE {database}; USE {database}; {TABLES} "
                 f"GRANT INSERT, SELECT ON {database}.* TO asterisk@'%' IDENTIFIED BY '{write}'; "
                 f"GRANT SELECT ON {database}.cdr TO ami2amo@'%' IDENTIFIED BY '{read}'; "
                 f"GRANT SELECT ON {database}.cel TO ami2amo@'%';")

    def client(self, sql):
        return subprocess.run(["mariadb", "--no-defaults", f"--socket={self.folder}/socket", "--user=root", "--batch",
                               "--skip-column-names"], input=sql, capture_output=True, text=True, timeout=QUERY_SECONDS)

    def asked(self, sql):
        return self.client(sql).returncode == 0

    def run(self, sql):
        done = self.client(sql)
        if done.returncode:
            raise Failed(f"MariaDB: {done.stderr.strip()[:300]}")
        return done.stdout

    def environment(self):
        """What `start` makes Asterisk's own configuration from."""
        return {"AMI2AMO_LAB_ODBC": f"{self.port}:{self.passwords['asterisk']}"}

    def config(self, pbx, cel=False):
        """The table of a daemon's configuration."""
        text = CONFIG.format(port=self.port, password=self.passwords["ami2amo"], database=pbx.folder)
        return text + ('cel = "cel"\n' if cel else "")

    def rows(self, pbx, table="cdr"):
        return int(self.run(f"SELECT COUNT(*) FROM {pbx.folder}.{table}"))

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
