//! Which calls a command line means.

use crate::call::id::{AccountId, PbxName};
use crate::cli::Usage;
use crate::cli::moment::moment;
use crate::ops::calls::{LIMIT, Question};
use crate::replay;
use crate::time::HostTime;

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which calls (all that is given must hold)")]
pub struct Filters {
    /// In this state, or one of these: pending, sending, unknown, parked, dead, sent, unsorted, skipped, expired
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// With this outside number, in any form, or ending with these digits
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// That this extension answered, or that rang it
    #[arg(long, value_name = "NUMBER")]
    extension: Option<String>,
    /// Of this line: its label, our number, or the trunk
    #[arg(long, value_name = "LINE")]
    line: Option<String>,
    /// That began since then: 2026-11-28T07:00:00Z, '2026-11-28 07:00' (UTC), or 3h, 30d for so long ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// … and before then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Of this amoCRM account
    #[arg(long, value_name = "NAME", value_parser = account_name)]
    account: Option<AccountId>,
    /// Of this PBX
    #[arg(long, value_name = "NAME", value_parser = replay::pbx_name)]
    pbx: Option<PbxName>,
}

/// How many calls are shown.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limit {
    /// As many as this, the newest [at most 1000]
    #[arg(long, value_name = "COUNT", default_value_t = LIMIT)]
    limit: usize,
}

pub(super) fn account_name(name: &str) -> Result<AccountId, String> {
    AccountId::new(name).map_err(|error| error.to_string())
}

impl Filters {
    /// Whether nothing is given: then every call is meant.
    pub fn is_empty(&self) -> bool {
        let Self { state, phone, extension, line, from, to, account, pbx } = self;
        let texts = [phone, extension, line, from, to];
        state.is_empty() && texts.iter().all(|text| text.is_none()) && account.is_none() && pbx.is_none()
    }

    /// The question, for calls in `states` when the line names none.
    ///
    /// # Errors
    /// When a time or a state is none.
    pub fn question(&self, states: &[&str], limit: usize, now: HostTime) -> anyhow::Result<Question> {
        let state = if self.state.is_empty() { states.join(",") } else { self.state.join(",") };
        let time = |text: &Option<String>| text.as_ref().map(|text| moment(text, now)).transpose();
        let question = Question {
            state: (!state.is_empty()).then_some(state),
            account: self.account.clone(),
            pbx: self.pbx.clone(),
            phone: self.phone.clone(),
            extension: self.extension.clone(),
            line: self.line.clone(),
            from: time(&self.from)?,
            to: time(&self.to)?,
            limit: Some(limit),
            after: None,
        };
        question.filter().map_err(|error| Usage(error.to_string()))?;
        Ok(question)
    }
}

impl Limit {
    pub fn count(self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
    }

    fn filters(line: &[&str]) -> Filters {
        Line::try_parse_from([&["list"], line].concat()).unwrap().filters
    }

    const NOW: HostTime = HostTime::from_micros(1_795_339_565_000_000);

    #[test]
    fn a_line_says_which_calls_are_meant() {
        let filters = filters(&["--state", "dead,parked", "--phone", "4567", "--from", "1h"]);
        assert!(!filters.is_empty());
        let question = filters.question(&["pending"], 7, NOW).unwrap();
        assert_eq!(question.state.as_deref(), Some("dead,parked"));
        assert_eq!((question.phone.as_deref(), question.limit), (Some("4567"), Some(7)));
        assert_eq!(question.from.map(|from| from.to_string()).as_deref(), Some("2026-11-22T08:26:05.000Z"));
    }

    #[test]
    fn without_states_those_of_the_command_are_meant() {
        assert!(filters(&[]).is_empty());
        let question = filters(&[]).question(&["pending", "dead"], 7, NOW).unwrap();
        assert_eq!(question.state.as_deref(), Some("pending,dead"));
        assert_eq!(filters(&[]).question(&[], 7, NOW).unwrap().state, None);
    }

    #[test]
    fn what_is_no_state_or_time_is_wrong_usage() {
        let said = filters(&["--state", "deaf"]).question(&[], 7, NOW).unwrap_err().to_string();
        assert!(said.contains("\"deaf\" is no state; there are pending"), "{said}");
        assert!(filters(&["--to", "soon"]).question(&[], 7, NOW).is_err());
        assert!(Line::try_parse_from(["list", "--account", "a b"]).is_err());
    }
}
