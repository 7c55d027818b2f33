//! Pure: on which of our lines the call was, and what is agreed for it.

use crate::call::classify::{Case, Setting, said};
use crate::call::facts::{CallFacts, Channel, Word};
use crate::call::line::{self, Line, Marks};
use crate::call::why::Why;

impl Case<'_> {
    /// The line of the conversation; it is noted as a reason.
    pub(super) fn line<'p>(
        &mut self,
        setting: Setting<'p>,
        did: Option<&str>,
        trunk: Option<&str>,
    ) -> Option<&'p Line> {
        let opener = self.channel(self.conversation.opener);
        let (line, why) = find(self.facts, [opener, self.leg()], setting, did, trunk)?;
        self.why.push(why);
        Some(line)
    }
}

/// The line of a call that the first channel began, and the reason. The account code is the first
/// channel's; the contexts are those of both.
pub(super) fn find<'p>(
    facts: &CallFacts,
    channels: [&Channel; 2],
    setting: Setting<'p>,
    did: Option<&str>,
    trunk: Option<&str>,
) -> Option<(&'p Line, Why)> {
    let [opener, _] = channels;
    let tenant = said::last_said(facts, Word::Tenant).map(|saying| saying.value.trim());
    let marks = Marks {
        pbx: setting.pbx,
        did,
        trunk,
        contexts: channels.map(|channel| &*channel.context),
        account_code: Some(&*opener.account).filter(|code| !code.is_empty()),
        tenant,
    };
    let (number, line) = line::line(&setting.policy.lines, &marks)?;
    Some((line, Why::Line { number, label: line.label.clone() }))
}
