#!/usr/bin/env python3
"""The whole way, once, for real: people call through a real Asterisk, `ami2amo run` listens beside it, and what
arrives in amoCRM is compared with what the people did.

    check.py [--binary PATH] [--rounds N] [--quiet SECONDS] [SCENARIO…]
    check.py [--binary PATH] --gaps [--kill-rounds N] [--second 16] [--cdr [csv|mariadb] [--cel]] [--subjects NAME,…]

Installs and starts the lab's PBX, needs root. Everything that it starts it stops, by process id; every wait has
an end. The exit code is 0 only when every call arrived once and right, the hangup-to-POST time, the memory and
the wake-ups of the idle daemon are under their bars, and the daemon ended cleanly on SIGTERM. `--gaps` plays what
happens to PBXs, lines and daemons instead: see gaps.py.
"""
import argparse
import asyncio
import contextlib
import dataclasses
import fcntl
import functools
import pathlib
import secrets
import signal
import sys
import tempfile
import time

import amocrm
import gaps
import maria
import office
import scenarios
import tls
import verdict
from daemon import DEFAULT_USER, USERS, Daemon, Failed, csv_config, pbx_config

REPOSITORY = office.HERE.parent.parent
# The bars of the design: hangup to POST (p95), resident memory and wake-ups of an idle daemon, start to READY.
LATENCY_BAR_S, MEMORY_BAR_MIB, WAKEUPS_BAR, READY_BAR_S = 5.0, 12.0, 2.0, 1.0

LOCK_SECONDS, INSTALL_SECONDS, SCRIPT_SECONDS = 900, 1200, 120
AMI_SECONDS, POST_SECONDS = 20, 30
# After the last post a moment more, in which nothing may come: no duplicate, no internal call.
SILENCE_SECONDS = 3
# From the last call to what counts as idle: the store puts its threads to rest meanwhile, and the daemon looks at itself.
IDLE_AFTER_SECONDS = 12

# ---- the steps ----------------------------------------------------------------------------------
async def wait_for(seconds, true, what):
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise Failed(f"not in {seconds} s: {what}")
        await asyncio.sleep(0.1)


async def watch_idle(daemon, seconds):
    """Returns the memory in MiB, second by second, and the wake-ups a second, by task, of the daemon while nothing happens."""
    await asyncio.sleep(IDLE_AFTER_SECONDS)
    before, memory = daemon.wakeups(), []
    for _ in range(seconds):
        await asyncio.sleep(1)
        memory.append(daemon.memory_mib())
    after = daemon.wakeups()
    return memory, {task: (after[task] - before[task]) / seconds for task in after}


async def play(names, rounds):
    """Plays every scenario `rounds` times; returns the truths."""
    people = await office.Office().open()
    try:
        truths = [truth async for truth in people.play_all([scenarios.ALL[name] for name in names] * rounds)]
        await office.quiet()
        return truths
    finally:
        people.close()


async def wait_for_posts(crm, truths):
    """Waits until each true call has arrived, and a moment more; what is missing is told by the verdicts."""
    wanted = {verdict.digits(truth.phone) for truth in truths}
    with contextlib.suppress(Failed):
        await wait_for(POST_SECONDS, lambda: wanted <= {verdict.digits(call["phone"]) for _, call in crm.calls}, "")
    await asyncio.sleep(SILENCE_SECONDS)


async def try_daemon(args, crm, daemon):
    """The whole trial of a started daemon; returns (what, passed, text) for each thing that was tried."""
    ready = daemon.wait_ready()
    await wait_for(AMI_SECONDS, lambda: daemon.check_alive() or office.PBX.ami_sessions() == 1, "an AMI session of the daemon")
    truths = await play(args.scenarios, args.rounds)
    await wait_for_posts(crm, truths)
    # Idle after work is the harder case: the store was written to, the connection to amoCRM is open.
    memory, wakeups = await watch_idle(daemon, args.quiet)
    code = daemon.stop()
    verdicts, strangers = verdict.judge(truths, list(crm.calls), USERS, DEFAULT_USER)
    rows = [(f"{v.truth.scenario} {v.truth.phone}", not v.faults, describe(v)) for v in verdicts]
    rows += [("no such call", False, str(call)) for call in strangers]
    rows += [("request refused by amoCRM", False, fault) for fault in crm.faults]
    latencies = [v.latency for v in verdicts if v.latency is not None] or [float("inf")]
    p50, p95 = (verdict.percentile(latencies, share) for share in (0.5, 0.95))
    rows.append((f"hangup to POST, p95 < {LATENCY_BAR_S} s", p95 < LATENCY_BAR_S,
                 f"p50 {p50:.2f} s, p95 {p95:.2f} s, max {max(latencies):.2f} s of {len(latencies)}"))
    rows.append((f"start to READY < {READY_BAR_S} s", ready < READY_BAR_S, f"{ready:.2f} s"))
    rows.append((f"idle memory < {MEMORY_BAR_MIB} MiB", max(memory) < MEMORY_BAR_MIB,
                 f"median {verdict.percentile(memory, 0.5):.1f} MiB, at most {max(memory):.1f} MiB"))
    all_wakeups = sum(wakeups.values())
    by_task = ", ".join(f"{task} {each:.2f}" for task, each in wakeups.items())
    rows.append((f"idle wake-ups < {WAKEUPS_BAR} a second", all_wakeups < WAKEUPS_BAR,
                 f"{all_wakeups:.2f} over {args.quiet} s: {by_task}"))
    rows.append(("SIGTERM ends it with code 0", code == 0, f"code {code}"))
    rows += await asyncio.to_thread(tls.try_all, args.binary)
    return rows


def describe(v):
    if v.faults:
        return "; ".join(f"{field}: want {want!r}, got {got!r}" for field, want, got in v.faults)
    call = v.call
    return f"{call['direction']}, user {call['call_responsible']}, {call['duration']} s, status {call['call_status']}, " \
           f"posted after {v.latency:.2f} s"


def report(rows):
    """Prints the table and its last line; true when all passed."""
    width = max(len(what) for what, _, _ in rows)
    for what, passed, text in rows:
        print(f"{'ok   ' if passed else 'WRONG'} {what:{width}}  {text}")
    failed = sum(not passed for _, passed, _ in rows)
    print(f"lab: {len(rows) - failed} passed, {failed} failed", flush=True)
    return not failed


@contextlib.contextmanager
def running(*pbxs, database=None):
    """Freshly started PBXs, ours alone until the end; with `database` they write to what it starts for them."""
    office.ROOT.mkdir(parents=True, exist_ok=True)
    with open(office.ROOT / "lock", "w") as lock:
        take(lock)
        server = None
        try:
            for pbx in pbxs:
                pbx.run_script("install", *(["odbc"] if database else []), timeout=INSTALL_SECONDS)
                pbx.run_script("stop", timeout=SCRIPT_SECONDS)
            server = database(pbxs) if database else None
            for pbx in pbxs:
                pbx.run_script("start", timeout=SCRIPT_SECONDS, more=server and server.environment())
            yield server
        finally:
            for pbx in pbxs:
                pbx.run_script("stop", timeout=SCRIPT_SECONDS)
            if server:
                server.stop()


def take(lock):
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Failed(f"another check holds {lock.name}") from None
            time.sleep(1)


def check(args):
    token = secrets.token_hex(16)
    with running(office.PBX), tempfile.TemporaryDirectory(prefix="ami2amo-") as folder:
        crm = amocrm.AmoCrm(token)
        daemon = Daemon(args.binary, pathlib.Path(folder), crm.url, token, [pbx_config(office.PBX)]).start()
        try:
            passed = report(asyncio.run(try_daemon(args, crm, daemon)))
        except (Failed, RuntimeError) as failed:
            passed = report([("the check", False, str(failed))])
        finally:
            daemon.stop()
            crm.close()
        if not passed:
            print(f"---- the daemon's last lines\n{daemon.last_lines()}", file=sys.stderr)
        return passed


def check_gaps(args):
    second = dataclasses.replace(office.SECOND_PBX, version=args.second)
    pbxs = [office.PBX, second] if any(gaps.SUBJECTS[name][1] for name in args.subjects) else [office.PBX]
    with tempfile.TemporaryDirectory(prefix="ami2amo-") as name, contextlib.ExitStack() as stack:
        folder, database = pathlib.Path(name), None
        if args.cdr == "mariadb":
            maria.install()
            (folder / "maria").mkdir()
            database = functools.partial(maria.Maria, folder / "maria")
        server = stack.enter_context(running(*pbxs, database=database))
        trial = gaps.Trial(args, second, folder, cdr_of(args, server))
        try:
            rows = asyncio.run(trial.run())
            rows += [records_row(server, pbx, table) for pbx in pbxs for table in tables_of(args) if server]
            passed = report(rows)
        except (Failed, RuntimeError) as failed:
            passed = report([("the check", False, str(failed))])
        finally:
            trial.close()
        if not passed:
            print(trial.last_lines(), file=sys.stderr)
        return passed


def cdr_of(args, server):
    """For a PBX, the table of a daemon's configuration that says where its records are."""
    if not args.cdr:
        return None
    return functools.partial(server.config if server else csv_config, cel=args.cel)


def tables_of(args):
    return ["cdr", "cel"] if args.cel else ["cdr"]


def records_row(server, pbx, table):
    """Nothing is proven by a database that Asterisk did not write to."""
    rows = server.rows(pbx, table)
    return (f"{pbx.folder} wrote to the database's table {table}", rows > 0, f"{rows} rows")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=list(scenarios.ALL), metavar="SCENARIO")
    parser.add_argument("--binary", default=REPOSITORY / "target/release/ami2amo", type=pathlib.Path)
    parser.add_argument("--rounds", default=1, type=int, help="how often each scenario is played")
    parser.add_argument("--quiet", default=30, type=int, metavar="SECONDS", help="how long the idle daemon is watched")
    parser.add_argument("--gaps", action="store_true", help="cuts, kills and restarts instead")
    parser.add_argument("--kill-rounds", default=20, type=int, metavar="N", help="how often a daemon is killed")
    parser.add_argument("--second", default="22", choices=["22", "16"], help="version of the second PBX")
    parser.add_argument("--cdr", nargs="?", const="csv", choices=["csv", "mariadb"], help="daemons that read the CDR, too")
    parser.add_argument("--cel", action="store_true", help="they read the channel events, too")
    parser.add_argument("--subjects", default=",".join(gaps.SUBJECTS), help="whose misfortunes are played")
    args = parser.parse_args()
    args.subjects = args.subjects.split(",")
    if unknown := [name for name in args.subjects if name not in gaps.SUBJECTS]:
        parser.error(f"unknown subjects: {', '.join(unknown)}; there are {', '.join(gaps.SUBJECTS)}")
    if unknown := [name for name in args.scenarios if name not in scenarios.ALL]:
        parser.error(f"unknown scenarios: {', '.join(unknown)}; see play.py list")
    # A request to stop unwinds, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(0 if (check_gaps if args.gaps else check)(args) else 1)


if __name__ == "__main__":
    main()
