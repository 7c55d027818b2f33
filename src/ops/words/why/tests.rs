//! Every reason has words, in both languages. The chains below name every variant, so that a new one
//! does not compile before it is among those that are tested.

use super::*;
use crate::call::record::Outcome;
use crate::call::side::evidence::Evidence;

/// A chain through the variants of an enum: each names the next.
fn all<T: Copy>(first: T, next: impl Fn(T) -> Option<T>) -> Vec<T> {
    std::iter::successors(Some(first), |at| next(*at)).collect()
}

fn direction_rules() -> Vec<DirectionRule> {
    use DirectionRule::{ClickToCall, ExtensionDialledOut, NoOutsideLeg, PbxDialledOut, TrunkCalledIn};
    all(TrunkCalledIn, |rule| match rule {
        TrunkCalledIn => Some(ExtensionDialledOut),
        ExtensionDialledOut => Some(ClickToCall),
        ClickToCall => Some(PbxDialledOut),
        PbxDialledOut => Some(NoOutsideLeg),
        NoOutsideLeg => None,
    })
}

fn phone_sources() -> Vec<PhoneSource> {
    all(PhoneSource::CallerId, |source| match source {
        PhoneSource::CallerId => Some(PhoneSource::SentToNetwork),
        PhoneSource::SentToNetwork => Some(PhoneSource::DialledExten),
        PhoneSource::DialledExten => Some(PhoneSource::None),
        PhoneSource::None => None,
    })
}

fn responsible_rules() -> Vec<ResponsibleRule> {
    use ResponsibleRule as R;
    all(R::LastWhoTalked, |rule| match rule {
        R::LastWhoTalked => Some(R::FirstWhoTalked),
        R::FirstWhoTalked => Some(R::LongestWhoTalked),
        R::LongestWhoTalked => Some(R::OnlyOneCalled),
        R::OnlyOneCalled => Some(R::Dialled),
        R::Dialled => Some(R::CalledFirst),
        R::CalledFirst => Some(R::SeveralCalled),
        R::SeveralCalled => Some(R::MissedFirst),
        R::MissedFirst => Some(R::MissedLast),
        R::MissedLast => Some(R::MissedConfigured),
        R::MissedConfigured => Some(R::EntityOwner),
        R::EntityOwner => Some(R::Forwarding),
        R::Forwarding => Some(R::DialPlan),
        R::DialPlan => Some(R::OwnRecord),
        R::OwnRecord => Some(R::NobodyCalled),
        R::NobodyCalled => None,
    })
}

fn outcome_rules() -> Vec<OutcomeRule> {
    use OutcomeRule as R;
    all(R::Talked, |rule| match rule {
        R::Talked => Some(R::MessageLeft),
        R::MessageLeft => Some(R::Fax),
        R::Fax => Some(R::TrunkCause { cause: 17 }),
        R::TrunkCause { .. } => Some(R::TrunkDial),
        R::TrunkDial => Some(R::AllBusy),
        R::AllBusy => Some(R::AllRefused),
        R::AllRefused => Some(R::NobodyReachable),
        R::NobodyReachable => Some(R::CallerGaveUp),
        R::CallerGaveUp => Some(R::RangOut),
        R::RangOut => Some(R::NobodyRang),
        R::NobodyRang => Some(R::EmployeeGaveUp),
        R::EmployeeGaveUp => None,
    })
}

fn forward_rules() -> Vec<ForwardRule> {
    use ForwardRule::{ByDialPlan, ByPhone, CalledWith, Transferred, Unknown};
    all(ByPhone, |rule| match rule {
        ByPhone => Some(ByDialPlan),
        ByDialPlan => Some(Transferred),
        Transferred => Some(CalledWith),
        CalledWith => Some(Unknown),
        Unknown => None,
    })
}

fn filters() -> Vec<Filter> {
    use Filter::{Dids, Directions, Extensions, Line, Numbers, ShortestTalk, ShortestWait, Trunks};
    all(Directions, |filter| match filter {
        Directions => Some(Dids),
        Dids => Some(Trunks),
        Trunks => Some(Extensions),
        Extensions => Some(Numbers),
        Numbers => Some(ShortestTalk),
        ShortestTalk => Some(ShortestWait),
        ShortestWait => Some(Line),
        Line => None,
    })
}

fn skips() -> Vec<Skip> {
    use Skip::{
        Anonymous, Internal, NoConversation, Policy, Shadow, ShortNumber, UnknownNumber, UnknownSides,
    };
    all(Internal, |skip| match skip {
        Internal => Some(Anonymous),
        Anonymous => Some(ShortNumber),
        ShortNumber => Some(NoConversation),
        NoConversation => Some(UnknownSides),
        UnknownSides => Some(Policy),
        Policy => Some(UnknownNumber),
        UnknownNumber => Some(Shadow),
        Shadow => None,
    })
}

fn words_said() -> Vec<Word> {
    all(Word::Status, |word| match word {
        Word::Status => Some(Word::Result),
        Word::Result => Some(Word::Responsible),
        Word::Responsible => Some(Word::Send),
        Word::Send => Some(Word::Tenant),
        Word::Tenant => None,
    })
}

fn time_sources() -> Vec<TimeSource> {
    all(TimeSource::Event, |source| match source {
        TimeSource::Event => Some(TimeSource::Arrival),
        TimeSource::Arrival => Some(TimeSource::Estimated),
        TimeSource::Estimated => None,
    })
}

fn partial_rules() -> Vec<PartialRule> {
    all(PartialRule::BeginNotSeen, |rule| match rule {
        PartialRule::BeginNotSeen => Some(PartialRule::EndNotSeen),
        PartialRule::EndNotSeen => None,
    })
}

fn hook_effects() -> Vec<HookEffect> {
    let next = |effect: &HookEffect| match effect {
        HookEffect::Unchanged => {
            Some(HookEffect::Changed { fields: vec!["phone".to_owned(), "source".to_owned()] })
        }
        HookEffect::Changed { .. } => Some(HookEffect::Withheld { reason: None }),
        HookEffect::Withheld { reason: None } => {
            Some(HookEffect::Withheld { reason: Some("a test".to_owned()) })
        }
        HookEffect::Withheld { reason: Some(_) } => Some(HookEffect::Failed { reason: "exit 1".to_owned() }),
        HookEffect::Failed { .. } => Some(HookEffect::Bypassed),
        HookEffect::Bypassed => None,
    };
    std::iter::successors(Some(HookEffect::Unchanged), next).collect()
}

/// Every reason there is, one kind after the other; `kind` counts them.
fn reasons(kind: usize) -> Vec<Why> {
    let (channel, extension) = ("PJSIP/101-00000001".to_owned(), Some("101".to_owned()));
    let direction = Direction::Inbound;
    let side = |side, weak| Why::Side { endpoint: "PJSIP/101".into(), side, evidence: Evidence::Hint, weak };
    let outcome = |rule| Why::Outcome { outcome: Outcome::Answered, rule };
    let responsible = |rule| Why::Responsible { extension: extension.clone(), rule };
    let forwarded = |rule| Why::Forwarded { extension: extension.clone(), rule };
    let dial_plan = |word| Why::DialPlan { word, value: "no".to_owned() };
    let rules = |rule| Why::Direction { direction, rule, channel: channel.clone() };
    match kind {
        0 => direction_rules().into_iter().map(rules).collect(),
        1 => vec![
            side(Side::Inside, false),
            side(Side::Outside, true),
            side(Side::Helper, false),
            side(Side::Unknown, true),
        ],
        2 => phone_sources().into_iter().map(|source| Why::Phone { source }).collect(),
        3 => responsible_rules().into_iter().map(responsible).collect(),
        4 => outcome_rules().into_iter().map(outcome).collect(),
        5 => forward_rules().into_iter().map(forwarded).collect(),
        6 => words_said().into_iter().map(dial_plan).collect(),
        7 => filters().into_iter().map(|by| Why::Filtered { by }).collect(),
        8 => skips().into_iter().map(|reason| Why::Skip { reason }).collect(),
        9 => partial_rules().into_iter().map(|rule| Why::Partial { rule }).collect(),
        10 => time_sources().into_iter().map(|source| Why::Time { source }).collect(),
        11 => vec![Why::FromCdr { rows: 3, events: 0 }, Why::FromCdr { rows: 2, events: 17 }],
        12 => {
            vec![Why::Line { number: 2, label: None }, Why::Line { number: 2, label: Some("A".to_owned()) }]
        }
        13 => hook_effects().into_iter().map(Why::Hook).collect(),
        _ => Vec::new(),
    }
}

/// The number of a kind in [`reasons`].
fn kind(why: &Why) -> usize {
    match why {
        Why::Direction { .. } => 0,
        Why::Side { .. } => 1,
        Why::Phone { .. } => 2,
        Why::Responsible { .. } => 3,
        Why::Outcome { .. } => 4,
        Why::Forwarded { .. } => 5,
        Why::DialPlan { .. } => 6,
        Why::Filtered { .. } => 7,
        Why::Skip { .. } => 8,
        Why::Partial { .. } => 9,
        Why::Time { .. } => 10,
        Why::FromCdr { .. } => 11,
        Why::Line { .. } => 12,
        Why::Hook(_) => 13,
    }
}

fn is_russian(text: &str) -> bool {
    text.chars().any(|c| ('а'..='я').contains(&c.to_ascii_lowercase()))
}

#[test]
fn every_reason_has_words_of_its_own_in_both_languages() {
    let mut seen: Vec<(String, String)> = Vec::new();
    for number in 0..14 {
        let reasons = reasons(number);
        assert!(!reasons.is_empty() && reasons.iter().all(|why| kind(why) == number), "{reasons:?}");
        for reason in reasons {
            let say = |language| (label(&reason, language), why(&reason, Direction::Inbound, language));
            let (en, ru) = (say(Language::En), say(Language::Ru));
            assert!(!is_russian(en.0) && !is_russian(&en.1) && !en.1.is_empty(), "{reason:?}: {en:?}");
            assert!(is_russian(ru.0) && is_russian(&ru.1), "{reason:?}: {ru:?}");
            let said = (en.1, ru.1);
            assert!(!seen.contains(&said), "{reason:?} says what another one says: {said:?}");
            seen.push(said);
        }
    }
    assert!(seen.len() > 60, "{}", seen.len());
}

#[test]
fn a_reason_names_what_it_is_about() {
    let say = |why: &Why| super::why(why, Direction::Outbound, Language::En);
    let cause = OutcomeRule::TrunkCause { cause: 17 };
    assert_eq!(
        say(&Why::Outcome { outcome: Outcome::Busy, rule: cause }),
        "The customer was busy: the trunk said: busy (17)"
    );
    let rule = ResponsibleRule::SeveralCalled;
    assert_eq!(
        say(&Why::Responsible { extension: None, rule }),
        "nobody: several were called and none talked"
    );
    let value = "2".to_owned();
    assert_eq!(say(&Why::DialPlan { word: Word::Status, value }), "it sets call_status: 2");
}
