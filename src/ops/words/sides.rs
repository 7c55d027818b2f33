//! Pure: what settles a side that little speaks for.

use crate::call::record::{CallRecord, Side};
use crate::call::why::Why;
use crate::ops::words::Language;

/// An endpoint whose side should be in the configuration.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Doubt {
    pub endpoint: String,
    /// What it was taken for; [`Side::Unknown`] when it could not be told.
    pub side: Side,
}

/// The endpoints of a record whose side rests on little, each once.
pub fn doubts(record: &CallRecord) -> Vec<Doubt> {
    let mut doubts: Vec<Doubt> = Vec::new();
    for why in &record.why {
        let Why::Side { endpoint, side, weak, .. } = why else { continue };
        let doubt = Doubt { endpoint: endpoint.clone(), side: *side };
        if (*weak || *side == Side::Unknown) && !doubts.contains(&doubt) {
            doubts.push(doubt);
        }
    }
    doubts
}

impl Doubt {
    /// What it was taken for.
    pub fn claim(&self, language: Language) -> String {
        let Self { endpoint, side } = self;
        match side {
            Side::Outside => language.pick(
                format!("{endpoint} was taken for a trunk, though little speaks for it"),
                format!("{endpoint} принят за транк, но доводов мало"),
            ),
            Side::Inside | Side::Helper => language.pick(
                format!("{endpoint} was taken for a phone, though little speaks for it"),
                format!("{endpoint} принят за телефон, но доводов мало"),
            ),
            Side::Unknown => language.pick(
                format!("{endpoint} may be a trunk or a phone"),
                format!("{endpoint} может быть и транком, и телефоном"),
            ),
        }
    }

    /// The claim and what settles it, on one line.
    pub fn text(&self, language: Language) -> String {
        let (claim, [one, other]) = (self.claim(language), self.remedies());
        language.pick(
            format!("{claim}: put {one} or {other} under [calls.sides]"),
            format!("{claim}: впишите {one} или {other} в [calls.sides]"),
        )
    }

    /// The lines of `[calls.sides]` of which the right one settles it; first as it was taken.
    pub fn remedies(&self) -> [String; 2] {
        let sides = match self.side {
            Side::Outside | Side::Unknown => [Side::Outside, Side::Inside],
            Side::Inside | Side::Helper => [Side::Inside, Side::Outside],
        };
        sides.map(|side| line(&self.endpoint, side))
    }
}

/// `trunks = ["PJSIP/trunk-msk"]`, as TOML.
fn line(endpoint: &str, side: Side) -> String {
    let key = match side {
        Side::Outside | Side::Unknown => "trunks",
        Side::Inside | Side::Helper => "extensions",
    };
    // The text of a JSON string is one in TOML too.
    let quoted = serde_json::Value::from(endpoint);
    format!("{key} = [{quoted}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;
    use crate::call::side::evidence::Evidence;
    use crate::call::side::rules::Rules;

    #[test]
    fn the_line_is_one_of_the_configuration_whatever_the_name() {
        for name in ["PJSIP/trunk-msk", "SIP/\"\\\u{1b}[2J", "SIP/тест"] {
            let doubt = |side| Doubt { endpoint: name.to_owned(), side };
            let [phone, trunk] = doubt(Side::Inside).remedies();
            assert_eq!([trunk.clone(), phone.clone()], doubt(Side::Unknown).remedies());
            let rules: Rules = toml::from_str(&format!("{phone}\n{trunk}")).unwrap();
            assert!(rules.extensions.contains(name) && rules.trunks.contains(name));
        }
    }

    #[test]
    fn what_is_certain_is_no_doubt() {
        let mut record = sample::call("1.1").record;
        let why = |endpoint: &str, side, weak| Why::Side {
            endpoint: endpoint.to_owned(),
            side,
            evidence: Evidence::ShortName,
            weak,
        };
        record.why = vec![
            why("PJSIP/sure", Side::Outside, false),
            why("PJSIP/101", Side::Inside, true),
            why("PJSIP/101", Side::Inside, true),
            why("PJSIP/x", Side::Unknown, false),
        ];
        let names: Vec<_> = doubts(&record).into_iter().map(|doubt| doubt.endpoint).collect();
        assert_eq!(names, ["PJSIP/101", "PJSIP/x"]);
    }
}
