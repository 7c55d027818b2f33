"""The lab's office: the PBX as its administrator sees it, the people around it, and the truth of their calls."""
import asyncio
import contextlib
import dataclasses
import itertools
import os
import pathlib
import subprocess
import time

import sip

NET = os.environ.get("AMI2AMO_LAB_NET", "127.0.38")
CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
ROOT = pathlib.Path(os.environ.get("AMI2AMO_LAB_ROOT") or f"{CACHE}/ami2amo-lab").resolve()
HERE = pathlib.Path(__file__).resolve().parent

DESKS = range(101, 111)
NEVER_REGISTERS = 109
# Four pairs of desks, so that four scenarios can be played at once; each pair has a ring group and a queue.
PAIRS = {1: (101, 102), 2: (103, 104), 3: (105, 106), 4: (107, 108)}

# amoCRM's `call_status`.
LEFT_MESSAGE, NOT_AVAILABLE, TALKED, NOT_REACHED, BUSY = 1, 3, 4, 6, 7


# ---- the PBX ------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Pbx:
    """One of the lab's PBXs: its folder in the chroot of its version, and its part of the loopback range."""

    folder: str
    net: str
    version: str = "22"

    @property
    def host(self):
        return f"{self.net}.1"

    @property
    def chroot(self):
        return ROOT / ("asterisk" if self.version == PBX.version else f"asterisk-{self.version}")

    @property
    def home(self):
        """Everything it writes."""
        return self.chroot / self.folder

    @property
    def secret_file(self):
        return ROOT / ("ami-secret" if self == PBX else f"ami-secret-{self.folder}")

    def run_script(self, name, *args, timeout, more=None):
        """Runs install, start or stop; `more` is for their environment."""
        names = {"AMI2AMO_LAB_NET": self.net, "AMI2AMO_LAB_VERSION": self.version}
        names |= {} if self == PBX else {"AMI2AMO_LAB_PBX": self.folder}
        subprocess.run([HERE / name, *args], check=True, timeout=timeout, stdin=subprocess.DEVNULL, env=os.environ | names | (more or {}))

    def console(self, command):
        """A command on Asterisk's own console, so that the lab needs no AMI user of its own."""
        asterisk = ["chroot", self.chroot, "/usr/sbin/asterisk", "-C", f"/{self.folder}/etc/asterisk.conf"]
        return subprocess.run([*asterisk, "-rx", command], capture_output=True, text=True, check=True, timeout=20).stdout

    def ami_sessions(self):
        """How many sessions the daemon's manager user has."""
        return sum(line.split()[:1] == ["ami2amo"] for line in self.console("manager show connected").splitlines())

    def channels(self):
        return int(self.console("core show channels count").split()[0])

    def pid(self):
        return int((self.home / "run/asterisk.pid").read_text())


PBX = Pbx("pbx", NET)
# The next range; for what needs two.
SECOND_PBX = Pbx("pbx2", f"{NET.rpartition('.')[0]}.{int(NET.rpartition('.')[2]) + 1}")


# ---- the truth ------------------------------------------------------------------------------------
@dataclasses.dataclass
class Truth:
    """What the people of one conversation did, never what the PBX says about it."""

    scenario: str
    direction: str
    phone: str
    answered: bool
    responsible: str | None
    answered_by: list
    rang: list
    talk_seconds: float
    bridged_seconds: float
    wait_seconds: float
    status: int
    started_at: float
    ended_at: float
    # From the first moment of talk to the last; none when nobody talked.
    talk_from: float | None = None
    talk_to: float | None = None
    # The PBX was killed meanwhile and wrote no CDR.
    unrecorded: bool = False
    # Values that are as right as ours, by field.
    also_ok: dict = dataclasses.field(default_factory=dict)

    def line(self):
        return dataclasses.asdict(self)


class Story:
    """One scenario being played by one pair of desks: who calls whom, and what is true afterwards."""

    def __init__(self, office, name, pair):
        self.office, self.name, self.pair = office, name, pair
        self.truths = []
        self.first, self.second = (office.desks[extension] for extension in PAIRS[pair])
        for desk in (self.first, self.second):
            desk.on_call = None
            desk.forget()

    def customer_calls(self, number):
        """A new customer calls one of our numbers."""
        return self.office.msk.call(number, caller=f"7{next(self.office.mobiles)}")

    def customer(self, person):
        """A new customer with a telephone; returns his number as our people dial it."""
        number = f"8{next(self.office.mobiles)}"
        self.office.msk.on_number[number] = person
        return number

    def leg_to(self, number):
        """The provider's side of the call to `number`."""
        return next(call for call in self.office.msk.calls if call.number == number)

    def rang(self):
        """The extensions of the desks that an INVITE came to in this scenario."""
        rang = [desk.user for desk in (self.first, self.second) if desk.calls]
        if not rang:
            raise RuntimeError(f"{self.name}: no phone of pair {self.pair} rang")
        return rang

    async def agents_are_free(self, seconds=10):
        """Waits until the pair's queue takes both for free. For some milliseconds after a call, and on a busy machine for
        longer, it does not, passes over the one, and rings the other alone."""
        until, shown = time.monotonic() + seconds, ""
        while shown.count("Not in use") < 2:
            if time.monotonic() > until:
                raise RuntimeError(f"the agents of queue sales-{self.pair} are not free:\n{shown}")
            # Not on the thread of the phones: they would stand still meanwhile.
            with contextlib.suppress(subprocess.SubprocessError):
                shown = await asyncio.to_thread(self.office.pbx.console, f"queue show sales-{self.pair}")
            await asyncio.sleep(0.1)

    def tell(self, direction, phone, outsider, talked=(), rang=(), status=None, responsible=None, wait=None, also_ok=None):
        """Notes the truth of one conversation that is over.

        talked: (extension, Call) in the order in which they talked with the outsider. responsible: who it is
        when nobody talked and not just one phone rang."""
        if not responsible and len(rang) == 1:
            responsible = str(rang[0])
        now = time.monotonic()
        spans = [(max(call.up_at, outsider.up_at), call.given_at or call.ended_at or now) for _, call in talked]
        end = outsider.ended_at or now
        begin, close = (min(s for s, _ in spans), min(end, max(e for _, e in spans))) if spans else (end, end)
        wall = time.time() - now
        self.truths.append(Truth(
            scenario=self.name, direction=direction, phone=phone, answered=bool(talked),
            responsible=str(talked[-1][0]) if talked else responsible,
            answered_by=[str(extension) for extension, _ in talked], rang=[str(extension) for extension in rang],
            talk_seconds=round(close - begin, 1), bridged_seconds=round(sum(min(e, end) - s for s, e in spans), 1),
            wait_seconds=round(begin - outsider.started if wait is None else wait, 1),
            status=status or (TALKED if talked else NOT_REACHED),
            started_at=round(wall + outsider.started, 3), ended_at=round(wall + end, 3), also_ok=also_ok or {},
            talk_from=round(wall + begin, 3) if talked else None, talk_to=round(wall + close, 3) if talked else None))


class Office:
    """The people around a running PBX."""

    def __init__(self, pbx=PBX, first_mobile=9160000001):
        self.pbx = pbx
        # Every customer has a number of his own, so a post is paired with its truth by number alone.
        self.mobiles = itertools.count(first_mobile)

    async def open(self):
        sip_address = (self.pbx.host, 5060)
        self.msk = await sip.Agent(f"{self.pbx.net}.2", 5060, "msk", sip_address).open()
        self.desks = {}
        for extension in DESKS:
            desk = await sip.Agent(self.pbx.host, 5000 + extension, str(extension), sip_address).open()
            self.desks[extension] = desk
        await self.register()
        return self

    def agents(self):
        return (self.msk, *self.desks.values())

    def close(self):
        for agent in self.agents():
            agent.close()

    async def register(self):
        """All desks but one register, also again."""
        for desk in self.desks.values():
            if int(desk.user) != NEVER_REGISTERS:
                await desk.register()

    def lines_are_dead(self):
        """The PBX is gone: nobody hears anybody from this moment, though no message says so."""
        for call in [call for agent in self.agents() for call in agent.calls]:
            call.is_over()

    async def play(self, scenario, pair):
        """Plays one scenario; returns the truths of its conversations."""
        story = Story(self, scenario.__name__.replace("_", "-"), pair)
        await asyncio.wait_for(scenario(story), timeout=90)
        return story.truths

    async def play_all(self, scenarios):
        """Plays the scenarios, four at a time; yields the truths as they become known."""
        waiting, done = list(reversed(scenarios)), asyncio.Queue()

        async def pair_of_desks(pair):
            while waiting:
                for truth in await self.play(waiting.pop(), pair):
                    await done.put(truth)

        pairs = asyncio.gather(*(pair_of_desks(pair) for pair in PAIRS))
        pairs.add_done_callback(lambda _: done.put_nowait(None))
        while (truth := await done.get()) is not None:
            yield truth
        await pairs


async def quiet(pbx=PBX, seconds=20):
    """Waits until the PBX has no channel."""
    until = time.monotonic() + seconds
    while pbx.channels():
        if time.monotonic() > until:
            raise RuntimeError("the PBX still has channels:\n" + pbx.console("core show channels"))
        await asyncio.sleep(0.3)
