"""A dumb amoCRM: takes `POST /api/v4/calls`, stores the calls, answers each by its request_id.

It is strict about what the real one refuses (unknown fields, nulls, missing fields, more than 50 calls), lists the
calls that it has as notes of contacts, and knows nothing else; every request that a correct client would not send is
kept in `faults`.
"""
import http.server
import json
import threading
import time

FIELDS = {
    "direction": str, "duration": int, "source": str, "phone": str, "uniq": str, "link": str,
    "call_responsible": (int, str), "call_result": str, "call_status": int, "responsible_user_id": int,
    "created_by": int, "updated_by": int, "created_at": int, "request_id": str,
}
REQUIRED = ("direction", "duration", "source", "phone", "request_id")
BATCH_MAX = 50


def refused(call):
    """What the real amoCRM would refuse in one call."""
    bad = [{"code": "FieldMissing", "path": name} for name in REQUIRED if name not in call]
    for name, value in call.items():
        if name not in FIELDS:
            bad.append({"code": "FieldNotExpected", "path": name})
        elif not isinstance(value, FIELDS[name]) or isinstance(value, bool):
            bad.append({"code": "NotNullable" if value is None else "InvalidType", "path": name})
        elif value == "":
            bad.append({"code": "NotBlank", "path": name})
    return bad


class AmoCrm:
    """The server, in a thread of its own. `calls` holds (time received, call)."""

    def __init__(self, token):
        self.token, self.calls, self.faults = token, [], []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method, path, authorization, body):
        """Returns the status and the body of the answer; None is an empty body."""
        received = time.time()
        if authorization != f"Bearer {self.token}":
            return self._fault(401, f"{method} {path}: wrong or missing token")
        if (method, path) == ("GET", "/api/v4/account"):
            return 200, {"id": 1, "name": "lab", "subdomain": "lab", "current_user_id": 1, "is_unsorted_on": True}
        if (method, path) == ("GET", "/api/v4/contacts/notes") and self.calls:
            return 200, {"_page": 1, "_links": {}, "_embedded": {"notes": self._notes()}}
        if method == "GET":
            return 204, None
        if (method, path) != ("POST", "/api/v4/calls"):
            return self._fault(404, f"{method} {path}: not known here")
        calls = json.loads(body)
        if not isinstance(calls, list) or not 1 <= len(calls) <= BATCH_MAX:
            return self._fault(400, f"not an array of 1 to {BATCH_MAX} calls: {body[:200]!r}")
        bad = [{"request_id": call.get("request_id"), "errors": refused(call)} for call in calls if refused(call)]
        if bad:
            return self._fault(400, json.dumps(bad), {"validation-errors": bad})
        first_id = len(self.calls) + 1
        self.calls += [(received, call) for call in calls]
        stored = [{"id": first_id + i, "entity_id": 1, "entity_type": "contact", "account_id": 1,
                   "request_id": call["request_id"]} for i, call in enumerate(calls)]
        return 200, {"_total_items": len(stored), "errors": [], "_embedded": {"calls": stored}}

    def _notes(self):
        """All calls as notes: the lab has fewer than a page of them, and a client looks for its own `uniq`."""
        return [{"id": i, "entity_id": 1, "note_type": "call_in" if call["direction"] == "inbound" else "call_out",
                 "updated_at": int(received), "params": {"uniq": call.get("uniq"), "phone": call["phone"]}}
                for i, (received, call) in enumerate(self.calls, 1)]

    def _fault(self, status, what, extra=None):
        self.faults.append(what)
        return status, {"title": "Error", "status": status, "detail": what, **(extra or {})}

    def _handler(crm):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = crm.answer(self.command, self.path.partition("?")[0],
                                            self.headers.get("Authorization"), body)
                data = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/hal+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        return Handler
