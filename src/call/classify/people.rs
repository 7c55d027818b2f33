//! Pure: who rang, who talked, on whom the call is booked.

use std::time::Duration;

use crate::call::classify::{Case, in_order};
use crate::call::facts::Word;
use crate::call::policy::{Missed, Policy, Responsible};
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
    /// `missed` is what the line says of missed calls.
    pub(super) fn people(&mut self, policy: &Policy, missed: Option<&Missed>) -> People {
        let segments = self.segments();
        let answered_by = in_order(segments.iter().map(|segment| &*segment.extension));
        let rang = self.rang();
        let (responsible, rule) = match chosen(&segments, policy) {
            Some((extension, rule)) => (Some(extension), rule),
            None => self.nobody_talked(&rang, missed.unwrap_or(&policy.missed)),
        };
        let said = self.said(Word::Responsible).filter(|extension| !extension.is_empty());
        let (responsible, rule) = match said {
            Some(extension) => (Some(extension), ResponsibleRule::DialPlan),
            None => (responsible, rule),
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

    fn nobody_talked(&self, rang: &[String], missed: &Missed) -> (Option<String>, ResponsibleRule) {
        if self.conversation.direction == Direction::Outbound {
            let opener = self.channel(self.conversation.opener);
            if opener.side == Side::Inside {
                return (opener.extension.as_deref().map(str::to_owned), self.outbound_rule());
            }
            let answered = self.called().find(|channel| !channel.stays.is_empty());
            return match answered
                .and_then(|channel| channel.extension.as_deref())
                .or(rang.first().map(|r| &**r))
            {
                Some(first) => (Some(first.to_owned()), ResponsibleRule::CalledFirst),
                None => (None, ResponsibleRule::NobodyCalled),
            };
        }
        match rang {
            [only] => (Some(only.clone()), ResponsibleRule::OnlyOneCalled),
            [] => match self.meant() {
                Some(extension) => (Some(extension), ResponsibleRule::OnlyOneCalled),
                None => match self.forwarding() {
                    (None, _) if *missed == Missed::EntityOwner => (None, ResponsibleRule::EntityOwner),
                    forwarding => forwarding,
                },
            },
            [first, .., last] => match missed {
                Missed::Nobody => (None, ResponsibleRule::SeveralCalled),
                Missed::First => (Some(first.clone()), ResponsibleRule::MissedFirst),
                Missed::Last => (Some(last.clone()), ResponsibleRule::MissedLast),
                Missed::EntityOwner => (None, ResponsibleRule::EntityOwner),
                Missed::Extension(extension) => (Some(extension.clone()), ResponsibleRule::MissedConfigured),
            },
        }
    }

    /// The one extension whose outside phone was called.
    fn forwarding(&self) -> (Option<String>, ResponsibleRule) {
        let mut forwarding = self.conversation.proxies.iter().filter_map(|proxy| proxy.extension.as_ref());
        match forwarding.next() {
            Some(first) if forwarding.all(|other| other == first) => {
                (Some(first.clone()), ResponsibleRule::Forwarding)
            }
            Some(_) => (None, ResponsibleRule::SeveralCalled),
            None => (None, ResponsibleRule::NobodyCalled),
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

fn chosen(segments: &[Segment], policy: &Policy) -> Option<(String, ResponsibleRule)> {
    let total = |extension: &str| {
        let own = segments.iter().filter(|segment| segment.extension == extension);
        own.map(|segment| segment.to.since(segment.from)).sum::<Duration>()
    };
    let least = policy.least_talk.duration();
    let is_long = |segment: &&Segment| total(&segment.extension) >= least;
    // Where nobody talked long enough, everybody counts.
    let least = if segments.iter().any(|segment| is_long(&segment)) { least } else { Duration::ZERO };
    let mut counted = segments.iter().filter(|segment| total(&segment.extension) >= least);
    let (segment, rule) = match policy.responsible {
        Responsible::First => (counted.next()?, ResponsibleRule::FirstWhoTalked),
        // Who was there at the end; of two, who came later.
        Responsible::Last => (counted.max_by_key(|s| (s.to, s.from))?, ResponsibleRule::LastWhoTalked),
        Responsible::Longest => {
            (counted.rev().max_by_key(|s| total(&s.extension))?, ResponsibleRule::LongestWhoTalked)
        }
    };
    Some((segment.extension.clone(), rule))
}
