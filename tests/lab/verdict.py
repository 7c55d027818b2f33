"""Compares what people did with what arrived in amoCRM. Values in, values out."""
import collections
import dataclasses
import math

# The people's clocks and the PBX's see an answer or a hangup some milliseconds apart, and `duration` is in
# whole seconds: a second either way is the same call.
DURATION_SLACK = 1.0
# `started_at` is the outsider's first SIP message; the PBX opens the channel a moment later.
START_SLACK = 3.0


@dataclasses.dataclass
class Verdict:
    """One true call, the first post with its number, and the faults found."""

    truth: object
    call: dict | None
    latency: float | None
    faults: list


def digits(number):
    """What amoCRM compares of a number: the last 10 digits."""
    return "".join(c for c in number if c.isdigit())[-10:]


def wrong_fields(truth, call, users, default_user):
    """(field, wanted, got) for each field of a posted call that is not what happened."""
    wanted = {"direction": truth.direction, "call_status": truth.status}
    wrong = [(field, want, call.get(field)) for field, want in wanted.items() if call.get(field) != want]
    extensions = [truth.responsible, *truth.also_ok.get("responsible", [])]
    people = [users.get(extension, default_user) for extension in extensions]
    # Who created a call is shown beside it: when it is told at all it is the same person.
    told = ["call_responsible", *(field for field in ("created_by", "responsible_user_id") if field in call)]
    wrong += [(field, people, call.get(field)) for field in told if call.get(field) not in people]
    if digits(call["phone"]) != digits(truth.phone):
        wrong.append(("phone", truth.phone, call["phone"]))
    if abs(call["duration"] - truth.talk_seconds) > DURATION_SLACK or (call["duration"] > 0) != truth.answered:
        wrong.append(("duration", truth.talk_seconds, call["duration"]))
    if abs(call.get("created_at", 0) - truth.started_at) > START_SLACK:
        wrong.append(("created_at", round(truth.started_at), call.get("created_at")))
    if not call.get("uniq"):
        wrong.append(("uniq", "an id", call.get("uniq")))
    return wrong


def judge(truths, posts, users, default_user):
    """Returns a verdict for each truth, and the posted calls that nobody made."""
    by_phone = collections.defaultdict(list)
    for received, call in posts:
        by_phone[digits(call["phone"])].append((received, call))
    verdicts = []
    for truth in truths:
        mine = by_phone.pop(digits(truth.phone), [])
        if not mine:
            verdicts.append(Verdict(truth, None, None, [("post", "one", "none")]))
            continue
        received, call = mine[0]
        faults = wrong_fields(truth, call, users, default_user)
        faults += [("post", "one", f"{len(mine)}, uniq {[c.get('uniq') for _, c in mine]}")] if len(mine) > 1 else []
        verdicts.append(Verdict(truth, call, received - truth.ended_at, faults))
    return verdicts, [call for mine in by_phone.values() for _, call in mine]


def percentile(values, share):
    """The smallest value that is not less than `share` of all."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
