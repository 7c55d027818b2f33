#!/usr/bin/env python3
"""Gaps for real: people call through a real Asterisk while the daemon is killed and its connection cut at random,
and in the end the PBX's own records say whether every call is stored once.

    gaps.py [--binary PATH] [--rounds N] [--seed N] [--log PATH] [SCENARIO…]

Needs root; uses the lab of `check.py`. Prints what `ami2amo repair` finds; the exit code is 0 when no call is missing
and none is extra.
"""
import argparse
import asyncio
import contextlib
import json
import pathlib
import random
import secrets
import subprocess
import sys
import tempfile

import amocrm
import check
import office
import scenarios
import verdict

# The last gap's calls are looked for after 5 s and after a minute.
LOOKED_FOR_SECONDS = 75


class Wire:
    """Stands between the daemon and the manager port, and can be cut."""

    def __init__(self):
        self.pairs, self.server, self.port = set(), None, None

    async def open(self):
        self.server = await asyncio.start_server(self.carry, "127.0.0.1", self.port or 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def carry(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(office.PBX_HOST, 5038)
        except OSError:
            writer.close()
            return
        pair = (writer, far_writer)
        self.pairs.add(pair)

        async def pump(source, sink):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            for end in pair:
                end.close()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        self.pairs.discard(pair)

    async def cut(self, seconds):
        self.server.close()
        for pair in list(self.pairs):
            for end in pair:
                end.transport.abort()
        await asyncio.sleep(seconds)
        await self.open()


class Trouble:
    """Kills the daemon and cuts the wire, at random."""

    def __init__(self, dice, start, wire):
        self.dice, self.start, self.wire = dice, start, wire
        self.daemon, self.cuts, self.kills, self.away = start(), 0, 0, 0.0

    async def make(self):
        while True:
            await asyncio.sleep(self.dice.uniform(4, 12))
            seconds = self.dice.uniform(1, 12)
            self.away += seconds
            if self.dice.random() < 0.5:
                self.cuts += 1
                await self.wire.cut(seconds)
            else:
                self.kills += 1
                self.daemon.process.kill()
                self.daemon.process.wait()
                self.daemon.notices.close()
                await asyncio.sleep(seconds)
                self.daemon = self.start()


def starter(binary, folder, url, token, port):
    """Returns what starts a daemon with the PBX's records; its log is added to the one before."""
    table = f'[pbx.cdr]\nkind = "csv"\npath = "{office.ROOT}/asterisk/pbx/log/cdr-csv/Master.csv"\n'
    config = check.CONFIG.replace("port = 5038", f"port = {port}").replace("\n[amocrm]", f"\n{table}\n[amocrm]", 1)
    config = config.replace('host = "{host}"', 'host = "127.0.0.1"')

    def start():
        with contextlib.suppress(FileNotFoundError):
            (folder / "notify").unlink()
        check.CONFIG = config
        log = folder / "log"
        before = log.read_bytes() if log.exists() else b""
        (folder / "all.log").open("ab").write(before)
        return check.Daemon(binary, folder, url, token)
    return start


async def trial(args, folder, crm, url, token):
    wire = await Wire().open()
    trouble = Trouble(random.Random(args.seed), starter(args.binary, folder, url, token, wire.port), wire)
    trouble.daemon.wait_ready()
    await check.wait_for(check.AMI_SECONDS, lambda: office.ami_sessions() == 1, "an AMI session of the daemon")
    making = asyncio.create_task(trouble.make())
    truths = await check.play(args.scenarios, args.rounds)
    making.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await making
    if not wire.server.is_serving():
        await wire.open()
    if trouble.daemon.process.poll() is not None:
        trouble.daemon = trouble.start()
    await asyncio.sleep(LOOKED_FOR_SECONDS)
    code = trouble.daemon.stop()
    print(f"{len(truths)} calls with somebody outside; {trouble.cuts} cuts and {trouble.kills} kills, {trouble.away:.0f} s away; "
          f"stopped with code {code}")
    posts = [verdict.digits(call["phone"]) for _, call in crm.calls]
    wanted = [verdict.digits(truth.phone) for truth in truths]
    often = {phone: posts.count(phone) for phone in set(wanted) if posts.count(phone) != wanted.count(phone)}
    print(f"posted: {len(posts)}; not as often as people called: {often or 'none'}")
    repair = [args.binary, "--config", folder / "ami2amo.toml", "repair", "--from", "2h", "--dry-run"]
    print(subprocess.run([*repair, "--language", "en"], capture_output=True, text=True).stdout)
    lines = subprocess.run([*repair, "--json"], capture_output=True, text=True).stdout.splitlines()
    totals = json.loads(lines[-1])
    if args.log:
        args.log.write_bytes((folder / "all.log").read_bytes() + trouble.daemon.log.read_bytes())
    return not totals["missing"] and not totals["extra"] and not often


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=check.REPOSITORY / "target/debug/ami2amo")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=pathlib.Path, help="where the daemons' log is left")
    parser.add_argument("scenarios", nargs="*", default=list(scenarios.ALL))
    args = parser.parse_args()
    token = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="ami2amo-gaps-") as name, check.running_pbx(), \
            contextlib.closing(amocrm.AmoCrm(token)) as crm:
        passed = asyncio.run(trial(args, pathlib.Path(name), crm, crm.url, token))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
