use super::*;
use crate::call::record::sample;
use crate::call::side::Verdict;
use crate::call::why::Why;
use crate::ops::screen::{Paint, page as printed};

fn portrait(endpoint: &str, verdict: Verdict, seen: &[Evidence]) -> Portrait {
    let extension = (verdict.side == Side::Inside).then(|| "101".to_owned());
    Portrait { endpoint: endpoint.to_owned(), verdict, extension, seen: seen.to_vec() }
}

fn portraits() -> Vec<Portrait> {
    let weak = Verdict { side: Side::Inside, evidence: Evidence::ShortName, weak: true };
    let unknown = Verdict { side: Side::Unknown, evidence: Evidence::None, weak: true };
    vec![
        portrait(
            "PJSIP/trunk-msk",
            Verdict::certain(Side::Outside, Evidence::NumberDialled),
            &[Evidence::NumberDialled, Evidence::InsideContext],
        ),
        portrait("PJSIP/100234", weak, &[Evidence::ShortName]),
        portrait("PJSIP/gw", unknown, &[]),
    ]
}

/// The configuration takes `channel` for an employee's phone.
fn ruled(channel: &str) -> Rulings {
    let mut rulings = Rulings::default();
    let mut call = sample::call("1.1");
    call.timeline.legs.truncate(1);
    let leg = &mut call.timeline.legs[0];
    (leg.channel, leg.side, leg.party) = (channel.to_owned(), Side::Inside, Some("105".to_owned()));
    rulings.add(&call);
    assert!(rulings.by_endpoint.is_empty(), "evidence is no ruling");
    call.timeline.legs[0].configured = true;
    rulings.add(&call);
    rulings.add(&call);
    rulings
}

#[test]
fn each_endpoint_shows_its_evidence_and_what_would_settle_it() {
    let text = printed(&page(&portraits(), &Rulings::default(), Language::En), Paint::None);
    let expected = "\
PJSIP/trunk-msk  a trunk
   40 trunk    numbers are dialled through it
    3 phone    its calls come into a context named for extensions
PJSIP/100234  phone of 101
    1 phone    its name is a short number
  → PJSIP/100234 was taken for a phone, though little speaks for it; the right
    one of these lines under [calls.sides] settles it:
      extensions = [\"PJSIP/100234\"]
      trunks = [\"PJSIP/100234\"]
PJSIP/gw  unknown
  → PJSIP/gw may be a trunk or a phone; the right one of these lines under
    [calls.sides] settles it:
      trunks = [\"PJSIP/gw\"]
      extensions = [\"PJSIP/gw\"]
";
    assert_eq!(text, expected);
}

#[test]
fn what_the_configuration_rules_is_marked_and_needs_no_advice() {
    let rulings = ruled("PJSIP/gw-0000001a");
    let text = printed(&page(&portraits()[2..], &rulings, Language::En), Paint::None);
    assert_eq!(text, "PJSIP/gw  unknown\n  by the configuration: phone of 105 (2 channels)\n");
    let json = json(&portraits()[2..], &rulings, Language::En).unwrap();
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    let configured = serde_json::json!([{"side": "inside", "extension": "105", "channels": 2}]);
    assert_eq!((&object["configured"], &object["advice"]), (&configured, &serde_json::Value::Null));
}

#[test]
fn tools_get_an_object_per_endpoint() {
    let json = json(&portraits(), &Rulings::default(), Language::Ru).unwrap();
    let objects: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[0]["seen"][0]["evidence"], "number-dialled");
    assert_eq!(objects[0]["seen"][0]["weight"], 40);
    assert_eq!(objects[1]["advice"][0], "extensions = [\"PJSIP/100234\"]");
}

#[test]
fn hostile_names_stay_in_their_place() {
    let name = format!("PJSIP/\u{1b}[2J\u{202e}{}", "営".repeat(200));
    let unknown = Verdict { side: Side::Unknown, evidence: Evidence::None, weak: true };
    let portraits = [portrait(&name, unknown, &Evidence::SEEN)];
    for language in [Language::En, Language::Ru] {
        let lines = page(&portraits, &Rulings::default(), language);
        assert!(lines.iter().all(|line| line.columns() <= WIDTH), "{lines:#?}");
        let text = printed(&lines, Paint::None) + &json(&portraits, &Rulings::default(), language).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
}

#[test]
fn an_endpoint_in_doubt_is_told_once() {
    let mut record = sample::call("1.1").record;
    let why = |endpoint: &str| Why::Side {
        endpoint: endpoint.to_owned(),
        side: Side::Inside,
        evidence: Evidence::ShortName,
        weak: true,
    };
    record.why = vec![why("PJSIP/1"), why("PJSIP/2")];
    let mut doubts = Doubts::default();
    assert_eq!(doubts.news(&record).len(), 2);
    record.why.push(why("PJSIP/3"));
    let news: Vec<_> = doubts.news(&record).into_iter().map(|doubt| doubt.endpoint).collect();
    assert_eq!(news, ["PJSIP/3"]);
    record.why = (0..2 * TOLD_MAX).map(|number| why(&format!("PJSIP/x{number}"))).collect();
    assert_eq!(doubts.news(&record).len(), TOLD_MAX - 3);
}
