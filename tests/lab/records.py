#!/usr/bin/env python3
"""Gaps for real: people call through a real Asterisk while the daemon is killed and its connection cut at random,
and in the end the PBX's own records say whether every call is stored once.

    records.py [--binary PATH] [--rounds N] [--seed N] [--log PATH] [SCENARIO…]

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
import sys
import tempfile

import amocrm
import check
import office
import scenarios
import verdict
from daemon import Daemon, csv_config, pbx_config
from line import Line

# The last gap's calls are looked for after 5 s and after a minute.
LOOKED_FOR_SECONDS = 75


class Trouble:
    """Kills the daemon and cuts its line, at random."""

    def __init__(self, dice, daemon, line):
        self.dice, self.daemon, self.line = dice, daemon, line
        self.cuts, self.kills, self.away = 0, 0, 0.0

    async def make(self):
        while True:
            await asyncio.sleep(self.dice.uniform(4, 12))
            seconds = self.dice.uniform(1, 12)
            self.away += seconds
            if self.dice.random() < 0.5:
                self.cuts += 1
                self.line.cut()
                await asyncio.sleep(seconds)
                await self.line.join()
            else:
                self.kills += 1
                self.daemon.kill()
                await asyncio.sleep(seconds)
                self.daemon.start()


async def trial(args, folder, crm, token):
    line = Line(office.PBX)
    await line.join()
    tables = [pbx_config(office.PBX, "127.0.0.1", line.port, csv_config(office.PBX))]
    daemon = Daemon(args.binary, folder, crm.url, token, tables, notices=False).start()
    trouble = Trouble(random.Random(args.seed), daemon, line)
    await check.wait_for(check.AMI_SECONDS, lambda: line.up, "an AMI session of the daemon")
    making = asyncio.create_task(trouble.make())
    truths = await check.play(args.scenarios, args.rounds)
    making.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await making
    if not line.server.is_serving():
        await line.join()
    if daemon.process.poll() is not None:
        daemon.start()
    await asyncio.sleep(LOOKED_FOR_SECONDS)
    code = daemon.stop()
    print(f"{len(truths)} calls with somebody outside; {trouble.cuts} cuts and {trouble.kills} kills, {trouble.away:.0f} s away; "
          f"stopped with code {code}")
    posts = [verdict.digits(call["phone"]) for _, call in crm.calls]
    wanted = [verdict.digits(truth.phone) for truth in truths]
    often = {phone: posts.count(phone) for phone in set(wanted) if posts.count(phone) != wanted.count(phone)}
    print(f"posted: {len(posts)}; not as often as people called: {often or 'none'}")
    repair = ["repair", "--from", "2h", "--dry-run"]
    print(daemon.command(*repair, "--language", "en")[1])
    totals = json.loads(daemon.command(*repair, "--json")[1].splitlines()[-1])
    if args.log:
        args.log.write_bytes(daemon.log.read_bytes())
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
    with tempfile.TemporaryDirectory(prefix="ami2amo-records-") as name, check.running(office.PBX), \
            contextlib.closing(amocrm.AmoCrm(token)) as crm:
        passed = asyncio.run(trial(args, pathlib.Path(name), crm, token))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
