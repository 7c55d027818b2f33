//! Pure: who rang, who talked, on whom the call is booked.

use std::time::Duration;

use crate::call::classify::{Case, in_order};
use crate::call::policy::Responsible;
use crate::call::record::{Direction, Segment, Side};
use crate::call::talk::Talk;
use crate::call::why::{DirectionRule, ResponsibleRule, Why};
use crate::time::PbxTime;

/// The employees of a conversation.
pub(super) struct People {
    pub(super) responsible: Option<String>,
    pub(super) answered_by: Vec<String>,
    pub(super) rang: Vec<String>,
    pub(super) segments: Vec<Segment>,
}

impl Case<'_> {
    pub(super) fn people(&mut self, policy: Responsible) -> People {
        let segments = self.segments();
        let answered_by = in_order(segments.iter().map(|segment| &*segment.extension));
        let rang = self.rang();
        let (responsible, rule) = match chosen(&segments, policy) {
            Some((extension, rule)) => (Some(extension), rule),
            None => self.nobody_talked(&rang),
        };
        self.why.push(Why::Responsible { extension: responsible.clone(), rule });
        People { responsible, answered_by, rang, segments }
    }

    /// Talks by extension; two channels of one extension in a row are one segment.
    fn segments(&self) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        for Talk { channel, from, to } in &self.talks {
            let Some(extension) = self.extension(*channel) else { continue };
            match segments.iter_mut().rfind(|segment| segment.extension == extension) {
                Some(segment) if *from <= segment.to => segment.to = segment.to.max(*to),
                _ => segments.push(Segment { extension, from: *from, to: *to }),
            }
        }
        segments
    }

    /// The extension of an inside channel, or the one whose outside phone this is.
    fn extension(&self, channel: usize) -> Option<String> {
        match self.conversation.proxy(channel) {
            Some(proxy) => proxy.extension.clone(),
            None => self.channel(channel).extension.as_deref().map(str::to_owned),
        }
    }

    /// Extensions that the PBX called, in order of the first call.
    fn rang(&self) -> Vec<String> {
        let mut called: Vec<(PbxTime, &str)> = self
            .called()
            .filter_map(|channel| {
                let first = channel.dials.first().map_or(channel.born, |dial| dial.at);
                channel.extension.as_deref().map(|extension| (first, extension))
            })
            .collect();
        called.sort_by_key(|(first, _)| *first);
        in_order(called.into_iter().map(|(_, extension)| extension))
    }

    fn nobody_talked(&self, rang: &[String]) -> (Option<String>, ResponsibleRule) {
        if self.conversation.direction == Direction::Outbound {
            let opener = self.channel(self.conversation.opener);
            if opener.side == Side::Inside {
                return (opener.extension.as_deref().map(str::to_owned), self.outbound_rule());
            }
            return match rang.first() {
                Some(first) => (Some(first.clone()), ResponsibleRule::CalledFirst),
                None => (None, ResponsibleRule::NobodyCalled),
            };
        }
        match rang {
            [only] => (Some(only.clone()), ResponsibleRule::OnlyOneCalled),
            [] => match self.meant() {
                Some(extension) => (Some(extension), ResponsibleRule::OnlyOneCalled),
                None => (None, ResponsibleRule::NobodyCalled),
            },
            _ => (None, ResponsibleRule::SeveralCalled),
        }
    }

    fn outbound_rule(&self) -> ResponsibleRule {
        match self.conversation.rule {
            DirectionRule::ClickToCall | DirectionRule::PbxDialledOut => ResponsibleRule::CalledFirst,
            DirectionRule::ExtensionDialledOut
            | DirectionRule::TrunkCalledIn
            | DirectionRule::NoOutsideLeg => ResponsibleRule::Dialled,
        }
    }

    /// The one extension that the dial plan meant to call, though no phone could ring.
    fn meant(&self) -> Option<String> {
        let mut meant = self.own().flat_map(|channel| &channel.extras.meant);
        let first = meant.next()?;
        meant.all(|other| other == first).then(|| first.to_string())
    }
}

fn chosen(segments: &[Segment], policy: Responsible) -> Option<(String, ResponsibleRule)> {
    let (segment, rule) = match policy {
        Responsible::First => (segments.first()?, ResponsibleRule::FirstWhoTalked),
        // Who was there at the end; of two, who came later.
        Responsible::Last => {
            (segments.iter().max_by_key(|s| (s.to, s.from))?, ResponsibleRule::LastWhoTalked)
        }
        Responsible::Longest => {
            let total = |extension: &str| {
                let own = segments.iter().filter(|segment| segment.extension == extension);
                own.map(|segment| segment.to.since(segment.from)).sum::<Duration>()
            };
            (segments.iter().rev().max_by_key(|s| total(&s.extension))?, ResponsibleRule::LongestWhoTalked)
        }
    };
    Some((segment.extension.clone(), rule))
}
