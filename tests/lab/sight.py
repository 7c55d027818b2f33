"""What a daemon that saw only some stretches of time can know of a call, and whether it said that. Values in,
values out; all times are seconds since the epoch.

The rules are the promises of `docs/guarantees.md`: no call twice; a call of which anything was seen is reported,
with the direction, the number, the people and the outcome as far as they were seen, never with talk that was not;
it is marked partial when its beginning or its end was not seen. A call that began and ended unseen is in the CDR
or nowhere; one of which a part was seen may be closed from either.
"""
import dataclasses

import verdict

# Around the edge of a stretch nobody can say what was seen: a killed daemon forgets up to a second, a login takes
# a moment.
EDGE = 1.5
# Talk of which less was seen may go unnoticed.
SHORTEST_TALK = 1.0

WHOLE, PART, EDGES, UNSEEN = "seen", "seen in part", "at an edge", "unseen"


@dataclasses.dataclass
class Sight:
    """What was seen of one call."""

    kind: str
    # Its beginning and its end were seen for certain; they were not, for certain.
    begin: bool
    end: bool
    no_begin: bool
    no_end: bool
    # Seconds of its talk that were seen for certain, and that may have been.
    talk_least: float
    talk_most: float


def of(truth, seen):
    """`seen`: (from, to) of each stretch in which the daemon was logged in, in their order."""
    surely = [(begin + EDGE, end - EDGE) for begin, end in seen if end - begin > 2 * EDGE]
    maybe = [(begin - EDGE, end + EDGE) for begin, end in seen]
    start, end = truth.started_at, truth.ended_at
    if any(a <= start and end <= b for a, b in surely):
        kind = WHOLE
    elif overlap(surely, start, end) > 0:
        kind = PART
    else:
        kind = EDGES if overlap(maybe, start, end) > 0 else UNSEEN
    talk = (truth.talk_from, truth.talk_to) if truth.answered else (end, end)
    return Sight(kind, begin=within(surely, start), end=within(surely, end), no_begin=not within(maybe, start),
                 no_end=not within(maybe, end), talk_least=overlap(surely, *talk), talk_most=overlap(maybe, *talk))


def has_time(truth, seen, seconds):
    """Whether the daemon was logged in when the call ended, and for so long afterwards: one that is cut off in the
    time that it has to post cannot keep it."""
    return any(begin <= truth.ended_at <= end - seconds for begin, end in seen)


def within(stretches, moment):
    return any(begin <= moment <= end for begin, end in stretches)


def overlap(stretches, begin, end):
    return sum(max(0.0, min(b, end) - max(a, begin)) for a, b in stretches)


def wanted_posts(sight, cdr):
    """The least and the most of posts."""
    if sight.kind in (WHOLE, PART) or cdr:
        return 1, 1
    return (0, 1) if sight.kind == EDGES else (0, 0)


def faults(truth, sight, posts, record, users, default_user, cdr=False):
    """(field, wanted, got) for all that is wrong with the posts of one call. `record` is what the daemon keeps."""
    least, most = wanted_posts(sight, cdr)
    if not least <= len(posts) <= most:
        wanted = str(least) if least == most else f"{least} or {most}"
        return [("posts", wanted, len(posts))]
    if not posts:
        return []
    wrong = verdict.wrong_fields(truth, posts[0], users, default_user)
    if record is None:
        return wrong + [("record", "one", "none")]
    if sight.kind == WHOLE or record["source"] == "cdr":
        return wrong + mark(sight, record)
    unknown = not_knowable(truth, sight)
    wrong = [fault for fault in wrong if fault[0] not in unknown]
    return wrong + talk_faults(truth, sight, posts[0]) + mark(sight, record)


def not_knowable(truth, sight):
    """The fields that cannot be asked for; the talk is looked at by itself."""
    fields = {"duration"}
    if not sight.begin:
        fields.add("created_at")
    people = {"call_responsible", "created_by", "responsible_user_id"}
    if truth.answered:
        # Who came last is known when the last talk was seen; a part that is too short may be missed.
        if sight.talk_least < SHORTEST_TALK:
            fields |= people | {"call_status"}
        elif len(truth.answered_by) > 1 and not sight.end:
            fields |= people
    elif not sight.end:
        # It rang when sight was lost, or sight came when it was nearly over.
        fields |= people | {"call_status"}
    elif not sight.begin:
        fields |= people
    return fields


def talk_faults(truth, sight, post):
    least = max(0.0, sight.talk_least - verdict.DURATION_SLACK)
    most = truth.talk_seconds + verdict.DURATION_SLACK if truth.answered else 0
    if least <= post["duration"] <= most:
        return []
    return [("duration", f"{least:.1f} to {most:.1f}", post["duration"])]


def mark(sight, record):
    if sight.kind == WHOLE and record["partial"]:
        return [("partial", False, True)]
    if sight.kind == UNSEEN:
        return [("source", "cdr", record["source"])] if record["source"] != "cdr" else []
    # The records tell such a call whole, and then it is compared in every field.
    if sight.kind == PART and (sight.no_begin or sight.no_end) and not record["partial"] and record["source"] != "cdr":
        return [("partial", True, False)]
    return []
