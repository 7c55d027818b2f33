"""What can be known is asked for, and nothing else: `python3 -m unittest discover -s tests/lab -p '*_test.py'`."""
import unittest

import office
import sight

USERS, DEFAULT = {"101": 5101, "102": 5102}, 5999
# Rings for 5 s from 1000, talks for 20 s until 1025.
TRUTH = office.Truth("inbound-answered", "inbound", "79160000001", True, "101", ["101"], ["101"], 20.0, 20.0, 5.0,
                     office.TALKED, 1000.0, 1025.0, 1005.0, 1025.0)
MISSED = office.Truth("inbound-missed", "inbound", "79160000002", False, "101", [], ["101"], 0, 0, 5.0,
                      office.NOT_REACHED, 1000.0, 1005.0)
ALL, BEGIN, END, NONE = [(900, 1100)], [(900, 1015)], [(1015, 1100)], [(900, 990), (1040, 1100)]


def post(truth=TRUTH, **changed):
    return {"direction": truth.direction, "phone": "+" + truth.phone, "duration": round(truth.talk_seconds),
            "call_status": truth.status, "call_responsible": USERS.get(truth.responsible, DEFAULT), "source": "x",
            "created_at": int(truth.started_at), "uniq": truth.phone, "request_id": "0"} | changed


def faults(seen, *posts, truth=TRUTH, partial=False, source="live", cdr=False):
    record = {"partial": partial, "source": source}
    found = sight.faults(truth, sight.of(truth, seen), list(posts), record, USERS, DEFAULT, cdr)
    return [field for field, _, _ in found]


class WhatIsSeen(unittest.TestCase):
    def test_kinds(self):
        kinds = [sight.of(TRUTH, seen).kind for seen in (ALL, BEGIN, END, NONE, [(1024, 1100)])]
        self.assertEqual(kinds, [sight.WHOLE, sight.PART, sight.PART, sight.UNSEEN, sight.EDGES])

    def test_who_is_cut_off_before_he_must_have_posted_is_not_measured(self):
        end = TRUTH.ended_at
        for stretches, expected in (
                ([(0, end + 5)], True), ([(0, end + 4.9)], False), ([(0, end - 1), (end + 1, 2000)], False),
                ([(0, end - 90), (end - 20, float("inf"))], True)):
            self.assertEqual(sight.has_time(TRUTH, stretches, 5), expected, stretches)

    def test_talk_is_counted_within_what_is_seen(self):
        self.assertEqual(sight.of(TRUTH, END).talk_least, 8.5)
        self.assertEqual(sight.of(TRUTH, [(900, 1010), (1015, 1100)]).talk_least, 12.0)

    def test_a_stretch_that_is_all_edges_shows_nothing_for_certain(self):
        self.assertEqual(sight.of(TRUTH, [(1010, 1012)]).kind, sight.EDGES)


class Judge(unittest.TestCase):
    def test_a_call_that_was_seen_is_whole_right_and_once(self):
        self.assertEqual(faults(ALL, post()), [])
        self.assertEqual(faults(ALL), ["posts"])
        self.assertEqual(faults(ALL, post(), post()), ["posts"])
        self.assertEqual(faults(ALL, post(duration=9)), ["duration"])
        self.assertEqual(faults(ALL, post(), partial=True), ["partial"])

    def test_a_call_whose_end_is_not_seen_has_the_talk_until_then_and_is_marked(self):
        self.assertEqual(faults(BEGIN, post(duration=10), partial=True), [])
        self.assertEqual(faults(BEGIN, post(duration=10)), ["partial"])
        self.assertEqual(faults(BEGIN, post(duration=40), partial=True), ["duration"])
        self.assertEqual(faults(BEGIN, post(duration=3), partial=True), ["duration"])

    def test_a_call_that_is_met_half_way_has_its_people(self):
        self.assertEqual(faults(END, post(duration=10), partial=True), [])
        for wrong in ({"call_responsible": 5102}, {"call_status": office.NOT_REACHED}, {"direction": "outbound"}):
            self.assertEqual(faults(END, post(duration=10, **wrong), partial=True), list(wrong))
        self.assertEqual(faults(END, partial=True), ["posts"])

    def test_talk_that_was_not_seen_is_not_asked_for_and_not_made_up(self):
        rang_only = [(900, 1004)]
        self.assertEqual(faults(rang_only, post(duration=0, call_status=office.NOT_REACHED), partial=True), [])
        self.assertEqual(faults(BEGIN, post(MISSED, duration=4), truth=MISSED), ["duration"])

    def test_a_call_that_nobody_saw_is_in_the_cdr_or_nowhere(self):
        self.assertEqual(faults(NONE), [])
        self.assertEqual(faults(NONE, post()), ["posts"])
        self.assertEqual(faults(NONE, cdr=True), ["posts"])
        self.assertEqual(faults(NONE, post(), cdr=True, source="cdr"), [])
        self.assertEqual(faults(NONE, post(), cdr=True), ["source"])

    def test_a_part_may_be_closed_from_the_cdr(self):
        self.assertEqual(faults(BEGIN, post(duration=10), partial=True, cdr=True), [])
        self.assertEqual(faults(BEGIN, post(), partial=True, source="cdr", cdr=True), [])
        self.assertEqual(faults(BEGIN, post(duration=10), partial=True, source="cdr", cdr=True), ["duration"])
        self.assertEqual(faults(BEGIN, post(), source="cdr", cdr=True), [])
        self.assertEqual(faults(BEGIN, post(duration=10), cdr=True), ["partial"])


if __name__ == "__main__":
    unittest.main()
