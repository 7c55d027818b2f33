#!/usr/bin/env python3
"""A busy hour: people call without a pause, and the daemon beside them is cut off, silenced, killed and stopped at
random. At its end the program's own comparison with the PBX's records must find no call missing and none extra, and
what arrived in amoCRM is compared with what the people did, as in gaps.py. Of an hour with a fault the folder is kept.

    hour.py [--binary PATH] [--seconds N] [--seed N] [--cdr csv|mariadb] [--cel]
"""
import argparse
import asyncio
import collections
import contextlib
import functools
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

import check
import gaps
import maria
import office
import scenarios
from daemon import Failed

# Seconds between two misfortunes, and how long each lasts: shorter and longer than a call, the tries to connect,
# and the time after which a silent line is given up.
BETWEEN = (10, 60)
LASTS = {"cut": (1, 60), "silent": (5, 60), "killed": (0, 10), "stopped": (0, 60)}
# Asterisk writes a record when its call is over; the daemon looks for those of a gap 5 s and a minute after it, and
# holds calls back that were cut short and have no record, for three minutes.
NOTHING_IS_HELD_SECONDS = 210
# After a minute without a connection the next try may be half a minute away.
gaps.LINE_SECONDS = 90


class Misfortunes:
    """What happens to the daemon, by a seed."""

    def __init__(self, subject, seed):
        self.subject, self.random, self.count = subject, random.Random(seed), collections.Counter()

    async def go_on(self, until):
        while True:
            pause = self.random.uniform(*BETWEEN)
            kind = self.random.choice(sorted(LASTS))
            lasts = self.random.uniform(*LASTS[kind])
            if time.monotonic() + pause + lasts > until:
                return
            await asyncio.sleep(pause)
            print(f"{time.strftime('%H:%M:%S')} {kind} for {lasts:.1f} s", flush=True)
            await getattr(self, kind)(lasts)
            self.count[kind] += 1

    async def cut(self, lasts):
        self.subject.lines[0].cut()
        await asyncio.sleep(lasts)
        await self.subject.lines[0].join()
        await self.subject.online()

    async def silent(self, lasts):
        self.subject.lines[0].freeze()
        await asyncio.sleep(lasts)
        self.subject.lines[0].thaw()
        # A short silence is none: what was connected is forgotten by the line, and connects again.
        await self.subject.online()

    async def killed(self, lasts):
        await asyncio.to_thread(self.subject.daemon.kill)
        await asyncio.sleep(lasts)
        await self.subject.start()

    async def stopped(self, lasts):
        code = await asyncio.to_thread(self.subject.daemon.stop)
        if code != 0:
            self.subject.tell("SIGTERM ends it with code 0", False, f"code {code}")
        await asyncio.sleep(lasts)
        await self.subject.start()


async def going_on(people, pair, until):
    """One scenario after the other until the end."""
    names = [name for name in scenarios.ALL if name not in ("inbound-offline", "internal")]
    truths, number = [], pair
    while time.monotonic() < until:
        truths += await people.play(scenarios.ALL[names[number % len(names)]], pair)
        number += 3
    return truths


async def busy_hour(args, subject):
    """Returns the rows of the report."""
    await subject.open()
    await subject.start()
    people = await office.Office(office.PBX).open()
    misfortunes = Misfortunes(subject, args.seed)
    until = time.monotonic() + args.seconds
    try:
        results = await asyncio.gather(misfortunes.go_on(until), *(going_on(people, pair, until) for pair in office.PAIRS))
        await office.quiet(office.PBX)
    finally:
        people.close()
    truths = [truth for of_pair in results[1:] for truth in of_pair]
    await asyncio.sleep(NOTHING_IS_HELD_SECONDS)
    code = await asyncio.to_thread(subject.daemon.stop)
    subject.tell("ends with code 0", code == 0, f"code {code}")
    told = ", ".join(f"{count} x {kind}" for kind, count in sorted(misfortunes.count.items()))
    subject.tell(f"{args.seconds} s, seed {args.seed}", bool(truths) and bool(told), f"{len(truths)} calls; {told}")
    subject.tell_gap()
    subject.compare_with_cdr({office.PBX: truths})
    return subject.judge({office.PBX: truths})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=check.REPOSITORY / "target/release/ami2amo", type=pathlib.Path)
    parser.add_argument("--seconds", default=3600, type=int)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--cdr", default="csv", choices=["csv", "mariadb"])
    parser.add_argument("--cel", action="store_true", help="it reads the channel events, too")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder, database = pathlib.Path(tempfile.mkdtemp(prefix="ami2amo-")), None
    with contextlib.ExitStack() as stack:
        if args.cdr == "mariadb":
            maria.install()
            (folder / "maria").mkdir()
            database = functools.partial(maria.Maria, folder / "maria")
        server = stack.enter_context(check.running(office.PBX, database=database))
        subject = gaps.Subject("busy hour", None, [office.PBX], check.cdr_of(args, server), args.binary, folder)
        try:
            passed = check.report(asyncio.run(busy_hour(args, subject)))
        except (Failed, RuntimeError) as failed:
            passed = check.report([("the check", False, str(failed))])
        finally:
            subject.close()
        if not passed and subject.daemon:
            print(f"---- the daemon's last lines\n{subject.daemon.last_lines()}", file=sys.stderr)
    if passed:
        shutil.rmtree(folder)
    else:
        print(f"---- configuration, log and store are kept: {folder}", file=sys.stderr)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
