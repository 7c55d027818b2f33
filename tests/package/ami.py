"""A small PBX behind a manager port: it lets people call, tells it to whoever has logged in, and lists what runs."""
import hashlib
import socket
import socketserver
import threading
import time

CHALLENGE = "117735131"
WAIT_SECONDS = 60


class Call:
    """A customer calls extension 101: two channels, and the bridge that they meet in."""

    def __init__(self, number, phone):
        self.phone, self.bridge, self.answered = phone, f"bridge-{number}", False
        base = int(time.time())
        self.trunk = self._leg(f"PJSIP/trunk-msk-{number:08x}", f"{base}.{number * 2}", f"{base}.{number * 2}", phone,
                               "74957000101", "from-trunk")
        self.desk = self._leg(f"PJSIP/101-{number:08x}", f"{base}.{number * 2 + 1}", f"{base}.{number * 2}", "101", "",
                              "from-internal")

    @staticmethod
    def _leg(name, uniqueid, linkedid, caller, exten, context):
        return {"Channel": name, "ChannelState": "4", "CallerIDNum": caller, "CallerIDName": "<unknown>",
                "Context": context, "Exten": exten, "Priority": "1", "Uniqueid": uniqueid, "Linkedid": linkedid}

    def listed(self):
        """Both legs as lists show them."""
        for leg, application in ((self.trunk, "Dial"), (self.desk, "AppDial")):
            state = {"ChannelState": "6" if self.answered else leg["ChannelState"]}
            yield {**leg, **state, "Application": application}, self.bridge if self.answered else ""


class Pbx:
    """The manager port on a free port of loopback, and what goes on behind it."""

    def __init__(self, secret):
        self.secret, self.calls, self.logins, self.made = secret, [], 0, 0
        self._heard = threading.Condition()
        self._clients = set()

        class Handler(socketserver.StreamRequestHandler):
            def handle(handler):
                self._serve(handler)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def wait_for_login(self, number):
        """Until somebody has logged in for the `number`th time."""
        with self._heard:
            if not self._heard.wait_for(lambda: self.logins >= number, WAIT_SECONDS):
                raise TimeoutError(f"login {number} did not come: {self.logins}")

    # ---- people ----------------------------------------------------------------------------------------------

    def begin(self, phone):
        """A customer calls, and 101 answers."""
        self.made += 1
        call = Call(self.made, phone)
        dial = {**call.trunk, **{f"Dest{key}": value for key, value in call.desk.items()}}
        self.calls.append(call)
        self._tell("Newchannel", call.trunk)
        self._tell("Newchannel", {**call.desk, "ChannelState": "0"})
        self._tell("DialBegin", {**dial, "DialString": "101"})
        self._tell("DialEnd", {**dial, "DialStatus": "ANSWER"})
        call.answered = True
        for leg in (call.desk, call.trunk):
            self._tell("BridgeEnter", {"BridgeUniqueid": call.bridge, "BridgeType": "basic",
                                       "BridgeTechnology": "simple_bridge", **leg, "ChannelState": "6"})
        return call

    def end(self, call):
        """Both hang up."""
        self.calls.remove(call)
        for leg in (call.desk, call.trunk):
            left = {"BridgeUniqueid": call.bridge, "BridgeType": "basic", "BridgeTechnology": "simple_bridge"}
            self._tell("BridgeLeave", {**left, **leg, "ChannelState": "6"})
            self._tell("Hangup", {**leg, "ChannelState": "6", "Cause": "16", "Cause-txt": "Normal Clearing"})

    # ---- the port ----------------------------------------------------------------------------------------------

    def _tell(self, name, headers):
        block = _block({"Event": name, "Privilege": "call,all", "Timestamp": f"{time.time():.6f}", **headers})
        with self._heard:
            for client in self._clients:
                client.sendall(block)

    def _serve(self, handler):
        client = handler.request
        client.sendall(b"Asterisk Call Manager/11.0.0\r\n")
        try:
            while action := self._read(handler.rfile):
                with self._heard:
                    client.sendall(self._answer(action, client))
                    self._heard.notify_all()
                if action.get("action") == "Logoff":
                    break
        except OSError:
            pass  # who goes away is no matter of ours
        finally:
            with self._heard:
                self._clients.discard(client)
            client.close()

    @staticmethod
    def _read(lines):
        action = {}
        while line := lines.readline(1025):
            if not (text := line.decode().strip()):
                return action
            key, _, value = text.partition(":")
            action[key.strip().lower()] = value.strip()
        return None

    def _answer(self, action, client):
        name, number = action.get("action"), action.get("actionid", "")
        if name == "Login":
            digest = hashlib.md5((CHALLENGE + self.secret).encode()).hexdigest()
            if action.get("username") != "ami2amo" or (action.get("key"), action.get("secret")) not in (
                    (digest, None), (None, self.secret)):
                return _block({"Response": "Error", "ActionID": number, "Message": "Authentication failed"})
            self._clients.add(client)
            self.logins += 1
            return (_block({"Response": "Success", "ActionID": number, "Message": "Authentication accepted"})
                    + _block({"Event": "FullyBooted", "Privilege": "system,all", "Status": "Fully Booted"}))
        more = {
            "Challenge": {"Challenge": CHALLENGE},
            "Ping": {"Ping": "Pong", "Timestamp": f"{time.time():.6f}"},
            "CoreSettings": {"AMIversion": "11.0.0", "AsteriskVersion": "22.10.1"},
            "CoreStatus": {"CoreStartupDate": "2026-11-22", "CoreStartupTime": "09:13:11"},
            "Logoff": {},
        }.get(name)
        if more is not None:
            word = "Goodbye" if name == "Logoff" else "Success"
            return _block({"Response": word, "ActionID": number, **more})
        return self._list(name, number)

    def _list(self, name, number):
        items = []
        if name == "BridgeList":
            items = [("BridgeListItem", {"BridgeUniqueid": call.bridge, "BridgeType": "basic",
                                         "BridgeTechnology": "simple_bridge", "BridgeNumChannels": "2"})
                     for call in self.calls if call.answered]
        elif name in ("Status", "CoreShowChannels"):
            event, key = ("Status", "BridgeID") if name == "Status" else ("CoreShowChannel", "BridgeId")
            items = [(event, {**leg, key: bridge}) for call in self.calls for leg, bridge in call.listed()]
        elif name != "ExtensionStateList":
            return _block({"Response": "Error", "ActionID": number, "Message": "Permission denied"})
        end = {"Event": name + "Complete", "ActionID": number, "EventList": "Complete", "ListItems": str(len(items))}
        return (_block({"Response": "Success", "ActionID": number, "EventList": "start"})
                + b"".join(_block({"Event": event, "ActionID": number, **item}) for event, item in items)
                + _block(end))


def _block(headers):
    return ("".join(f"{key}: {value}\r\n" for key, value in headers.items()) + "\r\n").encode()
