//! Pure: what amoCRM was found not to take of what is said of a call. Nothing is documented, so it is
//! learned from refusals: of the call that was refused, and where two were, of all of the account.

use serde::{Deserialize, Serialize};

use crate::amo::calls::Entry;
use crate::amo::settings::TEXT_MAX;

/// What may be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Limits {
    /// Longest `call_result`, in characters; none is sent when it is 0.
    pub result_max: usize,
    /// A `source` of the configuration is taken.
    pub source: bool,
    /// A `link` is taken.
    pub link: bool,
}

/// What of a call may be left out or cut.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Field {
    Result,
    Source,
    Link,
}

impl Field {
    /// The field that a refusal names by its path.
    pub fn at(path: &str) -> Option<Self> {
        let fields = [("call_result", Self::Result), ("link", Self::Link), ("source", Self::Source)];
        let is_named = |name: &str| path.split(['.', '/', '[', ']']).any(|part| part == name);
        fields.into_iter().find(|(name, _)| is_named(name)).map(|(_, field)| field)
    }
}

/// A shorter text says nothing.
const RESULT_MIN: usize = 16;

impl Limits {
    /// What is to be said in place of `entry`, which was refused for the field at `path`; `None` when
    /// nothing can be left out for it.
    #[must_use]
    pub fn after(self, path: &str, entry: &Entry) -> Option<Self> {
        match Field::at(path)? {
            Field::Result => {
                let shorter = entry.call_result.as_ref()?.chars().count() / 2;
                let result_max = self.result_max.min(if shorter < RESULT_MIN { 0 } else { shorter });
                Some(Self { result_max, ..self })
            }
            Field::Link => entry.link.as_ref().map(|_| Self { link: false, ..self }),
            Field::Source => (entry.source != Self::SOURCE).then_some(Self { source: false, ..self }),
        }
    }

    /// What is within both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            result_max: self.result_max.min(other.result_max),
            source: self.source && other.source,
            link: self.link && other.link,
        }
    }

    /// These limits, with `field` as `other` has it.
    #[must_use]
    pub fn with(self, field: Field, other: Self) -> Self {
        match field {
            Field::Result => Self { result_max: other.result_max, ..self },
            Field::Source => Self { source: other.source, ..self },
            Field::Link => Self { link: other.link, ..self },
        }
    }

    /// Whether everything of `field` is taken.
    pub fn is_whole(self, field: Field) -> bool {
        Self::default().with(field, self) == Self::default()
    }

    /// What is sent as `source` where no other is taken.
    pub const SOURCE: &str = "ami2amo";

    /// The fields that are cut or left out, for people.
    pub fn told(self) -> String {
        let usual = Self::default();
        let result = match self.result_max {
            0 => Some("call_result is left out".to_owned()),
            max if max < usual.result_max => Some(format!("call_result has at most {max} characters")),
            _ => None,
        };
        let source = (!self.source).then(|| format!("source is \"{}\"", Self::SOURCE));
        let link = (!self.link).then(|| "link is left out".to_owned());
        [result, source, link].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { result_max: TEXT_MAX, source: true, link: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amo::calls::{self, Manner};
    use crate::amo::settings::Settings;
    use crate::call::record::{CallRecord, sample};

    fn entry(limits: Limits) -> Entry {
        let said = Some("я".repeat(100));
        let record = CallRecord {
            call_result: said,
            recording: Some("a.mp3".to_owned()),
            ..sample::call("1.1").record
        };
        let settings: Settings =
            serde_json::from_str(r#"{"source":"АТС","recording-url":"https://p/{file}","users":{"101":1}}"#)
                .unwrap();
        calls::entry(&record, "0", &settings, &Manner { limits, ..Manner::default() }).unwrap()
    }

    #[test]
    fn a_refused_text_becomes_shorter_and_in_the_end_is_left_out() {
        let mut limits = Limits::default();
        let mut lengths = Vec::new();
        while let Some(less) = limits.after("call_result", &entry(limits)) {
            limits = less;
            lengths.push(entry(limits).call_result.map_or(0, |text| text.chars().count()));
        }
        assert_eq!(lengths, [50, 25, 0]);
        assert_eq!(limits.told(), "call_result is left out");
    }

    #[test]
    fn a_refused_link_or_source_is_left_out() {
        let whole = entry(Limits::default());
        assert!(whole.link.is_some() && whole.source == "АТС");
        let limits = Limits::default().after("0.link", &whole).unwrap();
        assert_eq!(entry(limits).link, None);
        assert_eq!(limits.after("link", &entry(limits)), None);
        let limits = limits.after("source", &whole).unwrap();
        assert_eq!(entry(limits).source, "ami2amo");
        assert_eq!(limits.after("source", &entry(limits)), None);
        assert_eq!(limits.told(), "source is \"ami2amo\", link is left out");
    }

    #[test]
    fn nothing_is_learned_from_what_cannot_be_left_out() {
        for path in ["", "phone", "result", "call_result_x", "custom_fields_values.0.field_id"] {
            assert_eq!(Limits::default().after(path, &entry(Limits::default())), None, "{path}");
        }
    }
}
