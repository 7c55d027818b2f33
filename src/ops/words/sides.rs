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
    /// What it was taken for, and the line of the configuration that settles it, on one line.
    pub fn text(&self, language: Language) -> String {
        let Self { endpoint, side } = self;
        let [trunk, phone] = [Side::Outside, Side::Inside].map(|side| line(endpoint, side));
        match (side, language) {
            (Side::Outside, Language::En) => format!(
                "{endpoint} was taken for a trunk, though little speaks for it: put {trunk} \
                 (or, if it is a phone, {phone}) under [calls.sides]"
            ),
            (Side::Outside, Language::Ru) => format!(
                "{endpoint} принят за транк, но доводов мало: впишите {trunk} \
                 (а если это телефон, {phone}) в [calls.sides]"
            ),
            (Side::Inside | Side::Helper, Language::En) => format!(
                "{endpoint} was taken for a phone, though little speaks for it: put {phone} \
                 (or, if it is a trunk, {trunk}) under [calls.sides]"
            ),
            (Side::Inside | Side::Helper, Language::Ru) => format!(
                "{endpoint} принят за телефон, но доводов мало: впишите {phone} \
                 (а если это транк, {trunk}) в [calls.sides]"
            ),
            (Side::Unknown, Language::En) => {
                format!("{endpoint} may be a trunk or a phone: put {trunk} or {phone} under [calls.sides]")
            }
            (Side::Unknown, Language::Ru) => format!(
                "{endpoint} может быть и транком, и телефоном: впишите {trunk} или {phone} в [calls.sides]"
            ),
        }
    }

    /// The line of `[calls.sides]` that settles it as it was taken; of an unknown one as a trunk.
    pub fn line(&self) -> String {
        line(&self.endpoint, self.side)
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
            let rules: Rules = toml::from_str(&doubt(Side::Inside).line()).unwrap();
            assert!(rules.extensions.contains(name));
            let rules: Rules = toml::from_str(&doubt(Side::Unknown).line()).unwrap();
            assert!(rules.trunks.contains(name));
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
