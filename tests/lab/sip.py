"""A small SIP user agent: UDP, loopback, standard library only.

It plays the people around the lab's PBX: desk phones that register, and providers that send and take
trunk calls. What a person does with a call is a coroutine over it (`answers`, `ignores`, `refuses`).

Every `Call` keeps the times (time.monotonic) at which its person did things: `started`, `up_at`,
`given_at`, `ended_at`. The truth is made of these, never of what the PBX says about the call.
"""
import asyncio
import random
import re
import struct
import sys
import time
import traceback

METHODS = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, UPDATE"
# G.711 frames of 20 ms: 160 bytes at 8000 Hz.
FRAME_SECONDS, FRAME_BYTES = 0.02, 160


def token():
    return f"{random.getrandbits(32):08x}"


def uri_of(header):
    found = re.search(r"<([^>]*)>", header)
    return found.group(1) if found else header.split(";")[0].strip()


def user_of(header):
    found = re.search(r"sip:([^@;>]*)@", header)
    return found.group(1) if found else ""


def tag_of(header):
    found = re.search(r";tag=([^;>\s]+)", header)
    return found.group(1) if found else ""


class Message:
    """One SIP request or response, taken apart."""

    def __init__(self, data):
        head, _, self.body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        self.start, *lines = head.split("\r\n")
        split = (line.partition(":") for line in lines)
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in split]
        self.is_request = not self.start.startswith("SIP/2.0")
        words = self.start.split(" ")
        self.method = words[0] if self.is_request else self.first("cseq").split()[1]
        self.code = 0 if self.is_request else int(words[1])

    def first(self, name):
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def audio(self):
        """Where the other side wants its sound, if it says so."""
        host = re.search(r"^c=IN IP4 (\S+)", self.body, re.M)
        port = re.search(r"^m=audio (\d+)", self.body, re.M)
        return (host.group(1), int(port.group(1))) if host and port else None


class Call:
    """One SIP dialog of one person."""

    def __init__(self, agent, outgoing, call_id, local, remote, target):
        self.agent, self.outgoing, self.call_id = agent, outgoing, call_id
        self.local, self.remote, self.target = local, remote, target
        self.cseq = random.randint(1, 5000)
        self.number = user_of(remote)  # the number dialled, by us or to us
        self.caller = user_of(local)  # the number we present
        self.invite = None  # the INVITE we got, or (branch, cseq) of ours
        self.started = time.monotonic()
        self.up_at = self.given_at = self.ended_at = None
        self.sound_to = self.speaking = None
        self._up, self._ended = asyncio.Event(), asyncio.Event()
        self._provisional = self._cancelled = False
        agent.calls.append(self)

    @property
    def talking(self):
        return self.up_at is not None and self.ended_at is None

    async def wait_up(self, timeout=30):
        """Waits for the answer; false when the call ended without one."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._up, self._ended)]
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._up.is_set()

    async def wait_end(self, timeout=60):
        """Waits for the end; false when it has not come."""
        try:
            await asyncio.wait_for(self._ended.wait(), timeout)
        except asyncio.TimeoutError:
            return False
        return True

    # ---- what the person does ---------------------------------------------------------
    def ring(self):
        self.agent.reply(self.invite, 180, "Ringing", to=self.local)

    def answer(self):
        if self.ended_at is None and self.up_at is None:
            self.agent.reply(self.invite, 200, "OK", to=self.local, sdp=self.agent.offer())
            self.is_up()

    def reject(self, code, reason):
        if self.ended_at is None:
            self.agent.reply(self.invite, code, reason, to=self.local)
            self.is_over()

    def hang_up(self):
        if self.ended_at is not None:
            return
        if self.up_at is not None:
            self.request("BYE")
            self.is_over()
        elif self.outgoing:
            self._cancelled = True
            if self._provisional:
                self._cancel()
        else:
            self.reject(603, "Decline")

    def transfer_to(self, number):
        """A blind transfer, as a phone does it."""
        host, port = self.agent.pbx
        self.given_at = time.monotonic()
        self.request("REFER", [("Refer-To", f"<sip:{number}@{host}:{port}>"), ("Referred-By", f"<{uri_of(self.local)}>")])

    def request(self, method, extra=()):
        self.cseq += 1
        self.agent.request(method, self.target, self.local, self.remote, self.call_id, self.cseq, extra=extra)

    # ---- what the network tells -------------------------------------------------------
    def is_up(self):
        if self.up_at is None:
            self.up_at = time.monotonic()
            self.speaking = asyncio.ensure_future(self.agent.speak(self))
        self._up.set()

    def is_over(self):
        if self.ended_at is None:
            self.ended_at = time.monotonic()
        self._ended.set()
        if self.speaking:
            self.speaking.cancel()

    def on_response(self, message):
        """An answer to one of our INVITEs."""
        if message.audio():
            self.sound_to = message.audio()
        if message.code < 200:
            self._provisional = True
            if self._cancelled:
                self._cancel()
        elif message.code < 300:
            self._on_answer(message)
        else:
            to, (branch, cseq) = message.first("to"), self.invite
            self.agent.request("ACK", self.target, self.local, to, self.call_id, cseq, branch=branch)
            self.is_over()

    def _on_answer(self, message):
        self.remote = message.first("to")
        self.target = uri_of(message.first("contact")) or self.target
        self.agent.request("ACK", self.target, self.local, self.remote, self.call_id, self.invite[1])
        if self._cancelled:  # the answer crossed our CANCEL
            self.request("BYE")
            self.is_over()
        elif self.ended_at is None:
            self.is_up()

    def _cancel(self):
        branch, cseq = self.invite
        self.agent.request("CANCEL", self.target, self.local, self.remote, self.call_id, cseq, branch=branch)


class Agent(asyncio.DatagramProtocol):
    """One SIP address: a desk phone (`user` is its extension) or a provider."""

    def __init__(self, host, port, user, pbx):
        self.host, self.port, self.user, self.pbx = host, port, user, pbx
        self.on_call = None  # what the person does with any call
        self.on_number = {}  # and with a call to a certain number
        self.forget()
        self.rtp_port = port + 20000
        self.registered = asyncio.Event()
        self.register_id, self.register_seq = f"{token()}@{host}", 0

    async def open(self):
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, self.port))
        rtp = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(self.host, self.rtp_port))
        self.rtp = rtp[0]
        return self

    def close(self):
        self.transport.close()
        self.rtp.close()

    def forget(self):
        """Forgets the calls of earlier scenarios."""
        self.calls, self.dialogs, self.replies = [], {}, {}

    async def register(self, attempts=10):
        me = f"<sip:{self.user}@{self.pbx[0]}:{self.pbx[1]}>"
        self.registered.clear()
        for _ in range(attempts):
            self.register_seq += 1
            self.request("REGISTER", f"sip:{self.pbx[0]}:{self.pbx[1]}", f"{me};tag={token()}", me, self.register_id,
                         self.register_seq, extra=[("Expires", "3600")])
            try:
                await asyncio.wait_for(self.registered.wait(), 1)
                return
            except asyncio.TimeoutError:
                continue
        raise RuntimeError(f"{self.user} could not register at {self.pbx}")

    def call(self, number, caller=None):
        """Calls `number` through the PBX, with `caller` as the presented number."""
        call_id = f"{token()}{token()}@{self.host}"
        local = f"<sip:{caller or self.user}@{self.host}:{self.port}>;tag={token()}"
        remote = f"<sip:{number}@{self.pbx[0]}:{self.pbx[1]}>"
        call = Call(self, True, call_id, local, remote, uri_of(remote))
        self.dialogs[call_id] = call
        call.invite = (f"z9hG4bK{token()}", call.cseq)
        self.request("INVITE", call.target, local, remote, call_id, call.cseq, branch=call.invite[0], sdp=self.offer())
        return call

    # ---- messages ---------------------------------------------------------------------
    def offer(self):
        session = random.getrandbits(30)
        return (f"v=0\r\no=- {session} {session} IN IP4 {self.host}\r\ns=lab\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
                f"m=audio {self.rtp_port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n")

    def request(self, method, uri, from_, to, call_id, cseq, branch=None, extra=(), sdp=None):
        via = f"SIP/2.0/UDP {self.host}:{self.port};branch={branch or 'z9hG4bK' + token()};rport"
        self._send(f"{method} {uri} SIP/2.0", [
            ("Via", via), ("Max-Forwards", "70"), ("From", from_), ("To", to), ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"), *self._self_headers(), *extra], sdp)

    def reply(self, request, code, text, to=None, sdp=None):
        to = to or request.first("to") + ("" if tag_of(request.first("to")) else f";tag={token()}")
        copied = [("From", request.first("from")), ("To", to), ("Call-ID", request.first("call-id")),
                  ("CSeq", request.first("cseq"))]
        answer = (f"SIP/2.0 {code} {text}", [("Via", via) for via in request.all("via")] + copied + self._self_headers(), sdp)
        self.replies[(request.first("via"), request.method)] = answer
        self._send(*answer)

    def _self_headers(self):
        return [("Contact", f"<sip:{self.user}@{self.host}:{self.port}>"), ("Allow", METHODS)]

    def _send(self, start, headers, sdp):
        body = (sdp or "").encode()
        if body:
            headers = headers + [("Content-Type", "application/sdp")]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        data = f"{start}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        if not self.transport.is_closing():
            self.transport.sendto(data, self.pbx)

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, _addr):
        message = Message(data)
        if message.is_request:
            self._on_request(message)
        elif message.method == "REGISTER":
            if message.code == 200:
                self.registered.set()
        elif message.method == "INVITE" and message.first("call-id") in self.dialogs:
            self.dialogs[message.first("call-id")].on_response(message)

    def _on_request(self, message):
        if message.method == "ACK":
            return
        sent = self.replies.get((message.first("via"), message.method))
        if sent:  # a retransmission
            self._send(*sent)
            return
        call = self.dialogs.get(message.first("call-id"))
        if call and message.audio():
            call.sound_to = message.audio()
        if message.method == "INVITE" and call is None:
            self._on_invite(message)
            return
        # OPTIONS (qualify), NOTIFY (message waiting, progress of a transfer), a re-INVITE, and the ends of calls
        with_sdp = message.method in ("INVITE", "UPDATE") and message.body
        self.reply(message, 200, "OK", sdp=self.offer() if with_sdp else None)
        if call and message.method == "CANCEL" and call.up_at is None and call.ended_at is None:
            call.reject(487, "Request Terminated")
        elif call and message.method == "BYE":
            call.is_over()

    def _on_invite(self, message):
        local = message.first("to") + f";tag={token()}"
        call = Call(self, False, message.first("call-id"), local, message.first("from"), uri_of(message.first("contact")))
        call.invite, call.number, call.sound_to = message, user_of(message.start), message.audio()
        self.dialogs[call.call_id] = call
        self.reply(message, 100, "Trying", to=message.first("to"))
        person = self.on_number.get(call.number, self.on_call)
        if person:
            asyncio.ensure_future(self._let(person, call))
        else:
            call.reject(480, "Temporarily Unavailable")

    @staticmethod
    async def _let(person, call):
        try:
            await person(call)
        except Exception:  # a fault of a scenario must be seen, and nobody awaits this task
            traceback.print_exc(file=sys.stderr)

    # ---- sound --------------------------------------------------------------------------
    async def speak(self, call):
        """Sends noise until the call ends: recordings and voicemail need some sound."""
        frames = [bytes(random.choice((0x10, 0x20, 0x90, 0xA0)) for _ in range(FRAME_BYTES)) for _ in range(8)]
        source, begun, sent = random.getrandbits(31), time.monotonic(), 0
        while call.ended_at is None:
            header = struct.pack("!BBHII", 0x80, 0, sent & 0xFFFF, sent * FRAME_BYTES & 0xFFFFFFFF, source)
            if call.sound_to and not self.rtp.is_closing():
                self.rtp.sendto(header + frames[sent % 8], call.sound_to)
            sent += 1
            await asyncio.sleep(max(0, begun + sent * FRAME_SECONDS - time.monotonic()))


# ---- people ---------------------------------------------------------------------------------
def answers(after):
    """Lets it ring `after` seconds and answers."""
    async def person(call):
        call.ring()
        if not await call.wait_end(after):
            call.answer()
    return person


def ignores():
    """Lets it ring."""
    async def person(call):
        call.ring()
    return person


def refuses(code, reason, after=0.3):
    """Refuses with a SIP code after `after` seconds."""
    async def person(call):
        if not await call.wait_end(after):
            call.reject(code, reason)
    return person
