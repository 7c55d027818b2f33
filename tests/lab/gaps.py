"""Gaps: what happens to PBXs, lines and daemons, while people go on calling. `check.py --gaps`.

People play at two PBXs at once. Beside the first stand several daemons, each with a misfortune, a line and an
amoCRM of its own, so that the same calls are seen by each as far as it can:

    cut       its connection is cut for 30 s
    silent    nothing arrives through its connection any more, for 42 s, and nobody says so
    stopped   it is stopped (SIGTERM) for a minute
    killed    it is killed (`kill -9`) again and again, and started at once
    late      it is started for the first time when calls are up

One more, `both`, listens to the two PBXs; the second is restarted with calls up (`core restart now`), and later
killed. With --cdr every daemon has a twin that may read the CDR: `csv` in Asterisk's own file, `mariadb` in a
database to which Asterisk writes it through ODBC, as FreePBX's does; with --cel the channel events, too.

Each line goes through a proxy that knows when the daemon was logged in, so that it is known what it saw; what it
must say of each call then is in sight.py. Truth comes from the people, never from AMI.
"""
import asyncio
import collections
import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import secrets
import signal
import time

import amocrm
import office
import scenarios
import sight
import verdict
from daemon import DEFAULT_USER, USERS, Daemon, Failed, pbx_config
from lasting import FOURTH_PAIR, THIRD_PAIR, UNTIL_IT_DIES
from line import Line
from office import PAIRS

# When things happen, in seconds from the beginning; people stop calling at the end of it.
CUT, SILENCE, STOP, LATE, FIRST_KILL = (22, 52), (22, 64), (22, 82), 34, 6
RESTART, CRASH, SECOND_CRASH, CRASH_SECONDS = 12, 34, 65, 4
# The daemons are surely there when people begin.
PEOPLE_AFTER, PEOPLE_SECONDS = 2, 92

LINE_SECONDS, POST_SECONDS, SILENCE_SECONDS, BOOT_SECONDS = 20, 40, 3, 30
# A call that a gap cut short is held back for the records, so long where these are not written in batches; the last
# gap ends shortly before people stop.
HOLD_SECONDS = 180
# Hangup to POST of a call that was seen from its beginning to its end, as everywhere.
LATENCY_BAR_S = 5.0
# What an unknown outcome waits before it is judged: a killed daemon may have been in the middle of a request.
QUICK_DELIVERY = '[delivery]\nnote-lag = "1s"\n'


# ---- the daemons ------------------------------------------------------------------------------------
class Subject:
    """One daemon with its lines, its misfortune and its amoCRM."""

    def __init__(self, name, misfortune, pbxs, cdr, binary, folder):
        """`cdr`: for a PBX, the table of the configuration that says where its records are; or none."""
        self.name, self.misfortune, self.cdr = name, misfortune, cdr
        self.lines = [Line(pbx) for pbx in pbxs]
        self.binary, self.folder = binary, folder / name
        self.token = secrets.token_hex(16)
        self.crm = amocrm.AmoCrm(self.token)
        self.rows = []
        self.daemon = None

    async def open(self):
        self.folder.mkdir()
        for line in self.lines:
            await line.join()
        tables = [pbx_config(line.pbx, "127.0.0.1", line.port, self.cdr(line.pbx) if self.cdr else "") for line in self.lines]
        self.daemon = Daemon(self.binary, self.folder, self.crm.url, self.token, tables, QUICK_DELIVERY,
                             notices=False)

    async def start(self):
        self.daemon.start()
        await self.online()

    async def online(self):
        until = time.monotonic() + LINE_SECONDS
        while not all(line.up for line in self.lines):
            self.daemon.check_alive()
            if time.monotonic() > until:
                raise Failed(f"{self.name}: not logged in after {LINE_SECONDS} s")
            await asyncio.sleep(0.05)

    def tell(self, what, passed, text=""):
        self.rows.append((f"{self.name}: {what}", passed, text))

    def tell_gap(self):
        """The gap itself is told, whatever is known of its calls."""
        told = sum("was not watched" in line for line in self.daemon.lines())
        self.tell("says that the PBX was not watched", told > 0, f"{told} times")

    def compare_with_cdr(self, truths):
        """What the program itself says of its calls and the PBX's records: none missing, and none extra but those
        of which a killed PBX wrote nothing."""
        since = datetime.datetime.fromtimestamp(self.lines[0].logins[0][0], datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        code, output = self.daemon.command("repair", "--dry-run", "--json", "--from", since)
        try:
            lines = [json.loads(line) for line in output.splitlines()]
            totals = {line["pbx"]: line for line in lines if line["what"] == "totals"}
        except (ValueError, KeyError):
            totals = {}
        extra = {line.pbx.folder: sum(truth.unrecorded for truth in truths[line.pbx]) for line in self.lines}
        what = f"repair --dry-run: none missing, {sum(extra.values())} extra"
        clean = totals.keys() == extra.keys() and all(
            (told["missing"], told["extra"]) == (0, extra[pbx]) for pbx, told in totals.items())
        text = "; ".join(f"{told['same']} same, {told['missing']} missing, {told['extra']} extra, {told['different']} "
                         "different" for told in totals.values())
        self.tell(what, clean, text or f"code {code}: {output.strip()[-200:]}")

    def tell_events(self):
        """Each call of the gap was told from channel events: the records alone would not show that they were read."""
        mine = [record for record in self.daemon.records() if record["source"] == "cdr"]
        told = sum(any(why.get("events") for why in record["why"]) for record in mine)
        self.tell("calls told from channel events", told == len(mine) > 0, f"{told} of {len(mine)}")

    def arrived(self):
        return {verdict.digits(call["phone"]) for _, call in self.crm.calls}

    def close(self):
        if self.daemon:
            self.daemon.stop()
        self.crm.close()

    def judge(self, truths):
        """Rows: one for each sort of sight with the number of calls, and one for each fault."""
        records = {verdict.digits(r["phone"]): r for r in self.daemon.records() if r["phone"]}
        posts = collections.defaultdict(list)
        for received, call in self.crm.calls:
            posts[verdict.digits(call["phone"])].append((received, call))
        right, all_calls, wrong = collections.Counter(), collections.Counter(), []
        for truth, line in ((truth, line) for line in self.lines for truth in truths[line.pbx]):
            seen, phone = sight.of(truth, line.seen()), verdict.digits(truth.phone)
            mine = posts.pop(phone, [])
            faults = sight.faults(truth, seen, [call for _, call in mine], records.get(phone), USERS, DEFAULT_USER,
                                  self.reads_cdr(truth))
            in_time = sight.has_time(truth, line.seen(), LATENCY_BAR_S)
            if seen.kind == sight.WHOLE and in_time and mine and (delay := mine[0][0] - truth.ended_at) > LATENCY_BAR_S:
                faults.append(("hangup to POST", f"{LATENCY_BAR_S} s", f"{delay:.1f} s"))
            kind = f"{line.pbx.folder}, {seen.kind}"
            all_calls[kind] += 1
            right[kind] += not faults
            wrong += [(f"{kind}: {truth.scenario} {truth.phone}", describe(seen, faults))] if faults else []
        for kind, count in sorted(all_calls.items()):
            self.tell(kind, right[kind] == count, f"{right[kind]} of {count}")
        for what, text in wrong:
            self.tell(what, False, text)
        for _, call in (post for calls in posts.values() for post in calls):
            self.tell("no such call", False, str(call))
        for fault in self.crm.faults:
            self.tell("request refused by amoCRM", False, fault)
        return self.rows

    def reads_cdr(self, truth):
        """Nothing is fetched of the time before a first start."""
        first = min((line.logins[0][0] for line in self.lines if line.logins), default=0)
        return self.cdr is not None and truth.ended_at > first


def describe(seen, faults):
    told = "; ".join(f"{field}: want {want}, got {got}" for field, want, got in faults)
    parts = [f"begin {'' if seen.begin else 'not '}seen", f"end {'' if seen.end else 'not '}seen",
             f"talk of {seen.talk_least:.1f} s seen"]
    return f"{told} ({', '.join(parts)})"


# ---- misfortunes --------------------------------------------------------------------------------------
async def cut(subject, clock, _args):
    await clock(CUT[0])
    subject.lines[0].cut()
    await clock(CUT[1])
    await subject.lines[0].join()
    await subject.online()


async def silent(subject, clock, _args):
    await clock(SILENCE[0])
    subject.lines[0].freeze()
    await clock(SILENCE[1])
    subject.lines[0].thaw()
    await subject.online()


async def stopped(subject, clock, _args):
    await clock(STOP[0])
    code = await asyncio.to_thread(subject.daemon.stop)
    subject.tell("SIGTERM ends it with code 0", code == 0, f"code {code}")
    await clock(STOP[1])
    await subject.start()


async def killed(subject, clock, args):
    pause = (PEOPLE_SECONDS - FIRST_KILL) / max(1, args.kill_rounds)
    for i in range(args.kill_rounds):
        await clock(FIRST_KILL + i * pause)
        await asyncio.to_thread(subject.daemon.kill)
        await subject.start()
    subject.tell("kill -9 and start again", True, f"{args.kill_rounds} times")


async def late(subject, clock, _args):
    await clock(LATE)
    await subject.start()


async def none(_subject, _clock, _args):
    """It listens to the end."""


# name: (misfortune, whether it listens to the second PBX, too, whether it is up from the beginning)
SUBJECTS = {
    "cut": (cut, False, True),
    "silent": (silent, False, True),
    "stopped": (stopped, False, True),
    "killed": (killed, False, True),
    "late": (late, False, False),
    "both": (none, True, True),
}
# What these cannot have seen they must say themselves.
TELL_GAPS = (cut, silent, stopped)


# ---- the trial ------------------------------------------------------------------------------------------
class Trial:
    """All of it; `run` returns the rows of the report."""

    def __init__(self, args, second, folder, cdr=None):
        self.args, self.second = args, second
        twins = [None, cdr] if cdr else [None]
        self.subjects, self.at_once = [], []
        chosen = {name: SUBJECTS[name] for name in args.subjects}
        for (name, (misfortune, listens_to_both, at_once)), cdr in itertools.product(chosen.items(), twins):
            pbxs = [office.PBX, second] if listens_to_both else [office.PBX]
            name = f"{name} with CDR" if cdr else name
            self.subjects.append(Subject(name, misfortune, pbxs, cdr, args.binary, folder))
            self.at_once += self.subjects[-1:] if at_once else []

    async def run(self):
        for subject in self.subjects:
            await subject.open()
        await asyncio.gather(*(subject.start() for subject in self.at_once))
        first = await office.Office(office.PBX).open()
        second = await office.Office(self.second, first_mobile=9170000001).open() if self.listens_to_both() else None
        try:
            truths = await self.play(first, second)
        finally:
            first.close()
            if second:
                second.close()
        await self.wait_for_posts(truths)
        for subject in self.subjects:
            code = await asyncio.to_thread(subject.daemon.stop)
            subject.tell("ends with code 0", code == 0, f"code {code}")
            if subject.misfortune in TELL_GAPS:
                subject.tell_gap()
            if subject.cdr:
                subject.compare_with_cdr(truths)
            if subject.cdr and self.args.cel and subject.misfortune in TELL_GAPS:
                subject.tell_events()
        return [row for subject in self.subjects for row in subject.judge(truths)]

    async def play(self, first, second):
        begun = time.monotonic()

        async def clock(seconds):
            await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))

        results = await asyncio.gather(
            going_on(first, 1, clock), going_on(first, 2, clock), at_times(first, 3, clock, THIRD_PAIR),
            at_times(first, 4, clock, FOURTH_PAIR),
            at_second_pbx(second, clock, self.all_online) if second else nobody(),
            *(subject.misfortune(subject, clock, self.args) for subject in self.subjects))
        await office.quiet(office.PBX)
        return {office.PBX: [truth for truths in results[:4] for truth in truths], self.second: results[4]}

    def listens_to_both(self):
        return any(line.pbx == self.second for subject in self.subjects for line in subject.lines)

    async def all_online(self):
        """Whoever listens to the second PBX is logged in there."""
        for subject in self.subjects:
            if any(line.pbx == self.second for line in subject.lines):
                await subject.online()

    async def wait_for_posts(self, truths):
        """Until all that must arrive has arrived, and a moment more."""
        held = HOLD_SECONDS if any(subject.cdr for subject in self.subjects) else 0
        until = time.monotonic() + POST_SECONDS + held
        waiting = {subject.name: self.wanted(subject, truths) for subject in self.subjects}
        while any(waiting[s.name] - s.arrived() for s in self.subjects) and time.monotonic() < until:
            await asyncio.sleep(0.2)
        await asyncio.sleep(SILENCE_SECONDS)

    @staticmethod
    def wanted(subject, truths):
        return {verdict.digits(truth.phone) for line in subject.lines for truth in truths[line.pbx]
                if sight.wanted_posts(sight.of(truth, line.seen()), subject.reads_cdr(truth))[0]}

    def close(self):
        for subject in self.subjects:
            subject.close()

    def last_lines(self):
        return "\n".join(f"---- {s.name}: its last lines\n{s.daemon.last_lines()}" for s in self.subjects if s.daemon)


async def nobody():
    """Nobody calls at a PBX that none listens to."""
    return []


async def going_on(people, pair, clock):
    """One scenario after the other until the end."""
    names = [name for name in scenarios.ALL if name not in ("inbound-offline", "internal")]
    await clock(PEOPLE_AFTER)
    truths, number, ended = [], pair, asyncio.ensure_future(clock(PEOPLE_SECONDS - 8))
    while not ended.done():
        truths += await people.play(scenarios.ALL[names[number % len(names)]], pair)
        number += 3
    return truths


async def at_times(people, pair, clock, plan):
    truths = []
    for seconds, scenario in plan:
        await clock(seconds)
        truths += await people.play(scenario, pair)
    return truths


async def at_second_pbx(people, clock, online):
    """It is restarted with calls up, and killed with calls up; people go on as soon as it is there again, first
    before and then after the daemon is."""
    pbx = people.pbx
    afterwards = [scenarios.ALL[name] for name in (
        "inbound-answered", "outbound-answered", "queue-answered", "blind-transfer")]
    await clock(PEOPLE_AFTER)
    truths = await until_it_dies(people, clock, RESTART, lambda: restart(pbx))
    truths += unrecorded(await until_it_dies(people, clock, CRASH, lambda: crash(pbx)))
    await online()
    await asyncio.sleep(PEOPLE_AFTER)
    truths += await all_pairs(people, afterwards)
    truths += unrecorded(await until_it_dies(people, clock, SECOND_CRASH, lambda: crash(pbx)))
    return truths + await all_pairs(people, afterwards)


def unrecorded(truths):
    return [dataclasses.replace(truth, unrecorded=True) for truth in truths]


async def until_it_dies(people, clock, seconds, misfortune):
    calls = asyncio.ensure_future(all_pairs(people, UNTIL_IT_DIES))
    # Where all is late, at least until they call.
    await asyncio.gather(clock(seconds), asyncio.sleep(PEOPLE_AFTER))
    await asyncio.to_thread(misfortune)
    people.lines_are_dead()
    truths = await calls
    await asyncio.to_thread(come_back, people.pbx)
    await people.register()
    return truths


async def all_pairs(people, plays):
    truths = await asyncio.gather(*(people.play(play, pair) for pair, play in zip(PAIRS, plays)))
    return [truth for of_one in truths for truth in of_one]


def restart(pbx):
    pbx.console("core restart now")
    time.sleep(0.5)


def crash(pbx):
    os.kill(pbx.pid(), signal.SIGKILL)


def come_back(pbx):
    """Waits for a restarted PBX; starts one that was killed, after a while."""
    until = time.monotonic() + CRASH_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(Exception):
            if "fully booted" in pbx.console("core waitfullybooted"):
                return
        time.sleep(0.2)
    pbx.run_script("start", "again", timeout=BOOT_SECONDS)
