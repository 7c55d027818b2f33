"""The judge must be able to say no: `python3 -m unittest discover -s tests/lab -p '*_test.py'`."""
import unittest

import amocrm
import office
import verdict

USERS, DEFAULT = {"101": 5101, "102": 5102}, 5999
ANSWERED = office.Truth("inbound-answered", "inbound", "79160000001", True, "101", ["101"], ["101"], 4.2, 4.2, 2.0,
                        office.TALKED, 1000.4, 1006.6)
MISSED = office.Truth("queue-abandoned", "inbound", "79160000002", False, None, [], ["101", "102"], 0, 0, 6.0,
                      office.NOT_REACHED, 1000.0, 1006.0)


def post(truth, **changed):
    return {"direction": truth.direction, "phone": "+" + truth.phone, "duration": round(truth.talk_seconds),
            "call_status": truth.status, "call_responsible": USERS.get(truth.responsible, DEFAULT), "source": "x",
            "created_at": int(truth.started_at), "uniq": truth.phone, "request_id": "0"} | changed


def faults(truth, *calls):
    verdicts, strangers = verdict.judge([truth], [(1007.0, call) for call in calls], USERS, DEFAULT)
    return [field for field, _, _ in verdicts[0].faults] + ["stranger"] * len(strangers)


class Judge(unittest.TestCase):
    def test_a_right_post_has_no_faults(self):
        self.assertEqual(faults(ANSWERED, post(ANSWERED)), [])
        self.assertEqual(faults(MISSED, post(MISSED)), [])

    def test_each_wrong_field_is_found(self):
        wrong = {"direction": "outbound", "call_status": office.BUSY, "call_responsible": 5102, "duration": 6,
                 "created_at": 1010, "uniq": "", "created_by": 0, "responsible_user_id": 5102}
        for field, value in wrong.items():
            self.assertEqual(faults(ANSWERED, post(ANSWERED, **{field: value})), [field])

    def test_a_value_that_is_as_right_is_right(self):
        offline = office.Truth(**(vars(MISSED) | {"responsible": "101", "also_ok": {"responsible": [None]}}))
        for user, wrong in ((5101, []), (DEFAULT, []), (5102, ["call_responsible"])):
            self.assertEqual(faults(offline, post(offline, call_responsible=user)), wrong)

    def test_a_number_nobody_called_from_is_a_stranger_and_the_call_is_missing(self):
        self.assertEqual(faults(ANSWERED, post(ANSWERED, phone="79160000009")), ["post", "stranger"])

    def test_a_call_posted_twice_is_a_fault(self):
        self.assertEqual(faults(ANSWERED, post(ANSWERED), post(ANSWERED)), ["post"])

    def test_an_answered_call_lasts_and_a_missed_one_does_not(self):
        short = office.Truth(**(vars(ANSWERED) | {"talk_seconds": 0.4}))
        self.assertEqual(faults(short, post(short, duration=0)), ["duration"])
        self.assertEqual(faults(MISSED, post(MISSED, duration=1)), ["duration"])

    def test_percentiles_are_values_that_were_measured(self):
        self.assertEqual(verdict.percentile([3, 1, 2], 0.5), 2)
        self.assertEqual(verdict.percentile(range(1, 101), 0.95), 95)
        self.assertEqual(verdict.percentile([7], 0.95), 7)


class Crm(unittest.TestCase):
    def test_what_amocrm_refuses_is_refused(self):
        self.assertEqual(amocrm.refused(post(ANSWERED)), [])
        bad = {"link": None, "uniq": "", "call_status": True, "colour": "red"}
        paths = [error["path"] for error in amocrm.refused(post(ANSWERED, **bad))]
        self.assertEqual(sorted(paths), sorted(bad))


if __name__ == "__main__":
    unittest.main()
