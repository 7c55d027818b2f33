"""The line between a daemon and a PBX."""
import asyncio
import contextlib
import time


class Line:
    """A proxy to the manager port that can be cut or go silent, and knows when somebody was logged in through it."""

    ACCEPTED = b"Message: Authentication accepted"

    def __init__(self, pbx):
        self.pbx, self.server, self.port = pbx, None, 0
        self.logins = []  # [from, to] of each; the last one's end is None while it lasts
        self._writers = set()
        self._last_word = None
        self._flows = asyncio.Event()
        self._flows.set()

    async def join(self):
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def cut(self):
        """Ends what is connected and refuses what comes: a tunnel that was stopped."""
        self.server.close()
        for writer in list(self._writers):
            writer.close()

    def freeze(self):
        """Nothing arrives any more, and nobody is told: a firewall that forgot, a host without power."""
        self._flows.clear()
        if self.up:
            # The last word is the last sign of life.
            self.logins[-1][1] = self._last_word

    def thaw(self):
        """It works again; what was connected is forgotten."""
        for writer in list(self._writers):
            writer.transport.abort()
        self._flows.set()

    @property
    def up(self):
        return bool(self.logins) and self.logins[-1][1] is None

    def seen(self):
        return [(begin, end or float("inf")) for begin, end in self.logins]

    async def _carry(self, reader, writer):
        await self._flows.wait()
        try:
            from_pbx, to_pbx = await asyncio.open_connection(self.pbx.host, 5038)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, to_pbx}
        login = [None, None]
        pumps = [asyncio.ensure_future(self._pump(reader, to_pbx, lambda _: None)),
                 asyncio.ensure_future(self._pump(from_pbx, writer, lambda data: self._look(login, data)))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        login[1] = login[1] or time.time()
        for pump in pumps:
            pump.cancel()
        for each in (writer, to_pbx):
            each.close()
        self._writers -= {writer, to_pbx}

    def _look(self, login, data):
        self._last_word = time.time()
        if login[0] is None and self.ACCEPTED in data:
            login[0] = time.time()
            self.logins.append(login)

    async def _pump(self, reader, writer, look):
        """Carries bytes until either side is gone."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                look(data)
                writer.write(data)
                await writer.drain()
