//! Pure: what is made in amoCRM for calls with unknown numbers, step by step.
//!
//! ```text
//!  leased ──► list ──┬─► settle                  against an open item, or left
//!    or       search │
//!  unknown           ├─► post the call           its item is gone
//!                    └─► intend ──► create ──► settle
//! ```

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use serde::Serialize;

use crate::amo::answer::Account;
use crate::amo::calls::Entry;
use crate::amo::contacts::{Contact, Known, Lead};
use crate::amo::made::{Fate, Made};
use crate::amo::unsorted::{self, Open};
use crate::amo::who::{self, Blame, Who};
use crate::outbox::courier::complaint::Complaint;
use crate::outbox::courier::effect::{Created, Effect, Now, ReadBack, Ruling, Unread};
use crate::outbox::courier::makes::{self, Verdict};
use crate::outbox::courier::recent::Recent;
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::courier::telling::Teller;
use crate::outbox::courier::{Courier, REST_MAX, Rules, Step};
use crate::outbox::errand::{Kind, Make};
use crate::outbox::policy::Sending;
use crate::outbox::queue::{BatchId, Item, State};
use crate::outbox::unknown::{self, Grounds, Next};
use crate::time::HostTime;

/// Where the errands of some calls are.
#[derive(Debug)]
pub(super) enum Stage {
    /// The list is being read.
    List {
        items: Vec<Item>,
        begun: HostTime,
    },
    /// The first call's number is being searched for.
    Search {
        item: Box<Item>,
        begun: HostTime,
    },
    Intend {
        make: Make,
        items: Vec<Item>,
    },
    Create(Trip),
    /// Out of our hands until the outcome.
    Creating(Trip),
}

/// Things that are made, with a durable intent.
#[derive(Debug)]
pub(super) struct Trip {
    make: Make,
    items: Vec<Item>,
    batch: BatchId,
    since: HostTime,
}

/// What follows for the courier.
#[derive(Debug)]
pub(super) enum Follows {
    Settle(Vec<Ruling>),
    /// These calls are posted.
    Post(Vec<Item>),
    Go(Stage),
    /// Nothing is left of it.
    Over,
}

impl Stage {
    /// The first stage for calls that are due together and are not simply posted.
    pub(super) fn of(items: Vec<Item>, begun: HostTime) -> Option<Self> {
        match kind(items.first()?) {
            Kind::Post => None,
            Kind::List => Some(Self::List { items, begun }),
            Kind::Search => Some(Self::Search { item: Box::new(items.into_iter().next()?), begun }),
        }
    }

    /// What is asked for at this stage; nothing while it is out of our hands.
    pub(super) fn effect(&self, teller: &Teller<'_>) -> Option<Effect> {
        match self {
            Self::List { .. } => Some(Effect::ReadUnsorted),
            Self::Search { item, .. } => Some(Effect::Search { number: unknown::number(&item.call.record) }),
            Self::Intend { items, .. } => {
                Some(Effect::Intend { calls: items.iter().map(|item| item.seq).collect() })
            }
            Self::Create(trip) => Some(trip.create(teller)),
            Self::Creating(_) => None,
        }
    }

    pub(super) fn may_stop(&self) -> bool {
        match self {
            Self::List { .. } | Self::Search { .. } => true,
            Self::Intend { .. } | Self::Create(_) | Self::Creating(_) => false,
        }
    }
}

impl Trip {
    fn create(&self, teller: &Teller<'_>) -> Effect {
        let entries: Vec<(&Item, Entry)> = self.entries(teller);
        let request_ids = entries.iter().map(|(_, entry)| entry.request_id.clone()).collect();
        Effect::Create { make: self.make, body: body(self.make, &entries, teller.rules), request_ids }
    }

    fn entries(&self, teller: &Teller<'_>) -> Vec<(&Item, Entry)> {
        let entry = |(place, item)| Some((item, teller.entry(item, place).ok()?.0));
        self.items.iter().enumerate().filter_map(entry).collect()
    }

    /// What became of it, for each call, and what it says of the account.
    pub(super) fn land(
        &self,
        created: Created,
        rules: &Rules,
        who: &[Who],
        recent: &mut Recent,
        now: HostTime,
    ) -> (Vec<Ruling>, Signal, Vec<Blame>) {
        let (made, signal) = self.read(created);
        let request_timeout = rules.amo.request_timeout.duration();
        let sending = Sending { batch: self.batch, since: self.since, request_timeout };
        let grounds = grounds(rules);
        // An answer that speaks of fewer things says nothing of the others.
        let fates = made.fates.iter().chain(std::iter::repeat(&Fate::Unclear));
        let mut blames = Vec::new();
        let rulings = self.items.iter().zip(who).zip(fates).map(|((item, who), fate)| {
            let refused = *fate == Fate::Refused;
            let blame = refused.then(|| who::blamed_in_words(who, &made.words)).flatten();
            if let Some(blame) = blame {
                blames.push(blame);
                let settled = unknown::made_without(item, blame, &made.words, now);
                return Ruling::new(item, settled);
            }
            if let Fate::Made(name) = fate {
                recent.made(self.make, unknown::number(&item.call.record), name, rules, now);
            }
            let settled = unknown::after_making(grounds, item, fate, &made.words, &sending, now);
            recent.heed(item, &settled, now);
            Ruling::new(item, settled)
        });
        (rulings.collect(), signal, blames)
    }

    fn read(&self, created: Created) -> (Made, Signal) {
        let all = |fate: Fate, words: &String| Made {
            account: Account::Fine,
            fates: vec![fate; self.items.len()],
            words: words.clone(),
        };
        match created {
            Created::Answered(made) => {
                let any = |is: fn(&Fate) -> bool| made.fates.iter().any(is);
                let signal = match Signal::of(made.account, made.words.clone()) {
                    Signal::Works if any(|fate| matches!(fate, Fate::Made(_))) => Signal::Works,
                    // That amoCRM refuses a lead neither holds calls nor ends a hold.
                    Signal::Works if any(|fate| *fate == Fate::Refused) => Signal::Slow,
                    Signal::Works => Signal::Trouble(made.words.clone()),
                    signal @ (Signal::Slow | Signal::Trouble(_) | Signal::Hold(..)) => signal,
                };
                (made, signal)
            }
            Created::Quiet => (all(Fate::Untouched, &"amoCRM has asked for quiet".to_owned()), Signal::Slow),
            Created::NotSent(words) => (all(Fate::Untouched, &words), Signal::Trouble(words)),
            Created::Lost(words) => (all(Fate::Unclear, &words), Signal::Trouble(words)),
            Created::NoToken(words) => {
                (all(Fate::Untouched, &words), Signal::Hold(Hold::Unauthorized, words))
            }
        }
    }
}

/// The first of the calls and those that go on with it.
pub(super) fn alike(mut items: Vec<Item>) -> Vec<Item> {
    let first = items.first().map(kind);
    items.retain(|item| Some(kind(item)) == first);
    items
}

fn kind(item: &Item) -> Kind {
    if matches!(item.state, State::Unknown { .. }) { item.errand.read_back() } else { item.errand.kind() }
}

impl Courier {
    /// Calls whose outcome is unknown, of one kind.
    pub(super) fn unknown(&mut self, items: Vec<Item>, now: Now) {
        match items.first().map(|item| item.errand.read_back()) {
            Some(Kind::Post) | None => self.step = Step::ReadBack { items, begun: now.host },
            Some(Kind::List | Kind::Search) => self.begin_errand(items, now),
        }
    }

    /// Calls that are due together, or whose outcome is unknown, and not simply posted or read back.
    pub(super) fn begin_errand(&mut self, items: Vec<Item>, now: Now) {
        self.step = Stage::of(items, now.host).map_or(Step::Begin, Step::Errand);
    }

    /// What an earlier process posted for these calls may be there at any moment.
    pub(super) fn remember(&mut self, items: &[Item], now: Now) {
        for item in items.iter().filter(|item| item.errand.make.is_some()) {
            self.recent.doubt(item, now.host);
        }
        self.step = Step::Begin;
    }

    /// The intent is durable.
    pub(super) fn intended_errand(&mut self, batch: BatchId, now: Now) {
        let Step::Errand(Stage::Intend { make, items }) = mem::take(&mut self.step) else { return };
        self.step = Step::Errand(Stage::Create(Trip { make, items, batch, since: now.host }));
    }

    /// Gives the POST out and forgets that it may be given out: whatever happens, it is not repeated.
    pub(super) fn errand_effect(&mut self, now: Now) -> Effect {
        let step = mem::take(&mut self.step);
        let Step::Errand(stage) = step else { return Effect::NextDue };
        let effect = stage.effect(&self.teller(now));
        self.step = Step::Errand(match stage {
            Stage::Create(trip) => Stage::Creating(trip),
            other @ (Stage::List { .. }
            | Stage::Search { .. }
            | Stage::Intend { .. }
            | Stage::Creating(_)) => other,
        });
        effect.unwrap_or(Effect::Wait { until: now.mono.after(REST_MAX) })
    }

    pub(super) fn listed(&mut self, read: ReadBack<Open>, now: Now) {
        let Step::Errand(Stage::List { items, begun }) = mem::take(&mut self.step) else { return };
        let Some(open) = self.complete(read, &items, now) else { return };
        let rules = Arc::clone(&self.rules);
        let follows = listed(items, &open, &rules, &mut self.recent, begun);
        self.follow(follows, now);
    }

    pub(super) fn searched(&mut self, read: ReadBack<Vec<Known>>, now: Now) {
        let Step::Errand(Stage::Search { item, begun }) = mem::take(&mut self.step) else { return };
        let Some(found) = self.complete(read, std::slice::from_ref(&item), now) else { return };
        let rules = Arc::clone(&self.rules);
        let follows = searched(*item, &found, &rules, &mut self.recent, begun);
        self.follow(follows, now);
    }

    pub(super) fn created(&mut self, created: Created, now: Now) {
        let Step::Errand(Stage::Creating(trip)) = mem::take(&mut self.step) else { return };
        let who: Vec<Who> = trip.items.iter().map(|item| self.teller(now).who(item)).collect();
        let is_decided = makes::is_decided(&created);
        let (mut rulings, signal, blames) = trip.land(created, &self.rules, &who, &mut self.recent, now.host);
        self.bookings.refuse_all(&blames, now.mono);
        let verdict = self.makes.judge(trip.make, is_decided, &signal, now.mono);
        if let Verdict::Shut { .. } = verdict {
            makes::put_all_off(&mut rulings, now.host);
        }
        self.step = Step::Settle { rulings, together: true };
        self.heed_make(trip.make, verdict, signal, now);
    }

    /// What follows for the account from what it says of one kind of thing.
    fn heed_make(&mut self, make: Make, verdict: Verdict, signal: Signal, now: Now) {
        match verdict {
            Verdict::Shut { is_news } => {
                if let Some((_, words)) = self.makes.shut(make, now.mono).filter(|_| is_news) {
                    self.bookings.complain(Complaint::MakesOff(make, words.to_owned()));
                }
                return self.health.ask_first();
            }
            // Its call is due again at once: no rest comes before it is known what the refusal meant.
            Verdict::Doubted => return self.learn(signal, now),
            Verdict::Works => self.bookings.makes_again(make),
            Verdict::Open => {}
        }
        let jitter = self.jitter.draw();
        self.health.learn_of_post(signal, &self.rules.delivery, jitter, now);
    }

    fn follow(&mut self, follows: Follows, now: Now) {
        if let Follows::Go(Stage::Intend { make, items }) = &follows
            && let Some((pause, words)) = self.makes.shut(*make, now.mono)
        {
            let off = |item| Ruling::new(item, makes::put_off(item, pause, words, now.host));
            self.step = Step::Settle { rulings: items.iter().map(off).collect(), together: true };
            return;
        }
        self.step = match follows {
            Follows::Settle(rulings) => Step::Settle { rulings, together: true },
            Follows::Post(items) => return self.post_with_sounds(items, now),
            Follows::Go(stage) => Step::Errand(stage),
            Follows::Over => Step::Begin,
        };
    }

    /// What was read; else its calls are settled, to be looked up later, and the account's trouble is
    /// noted.
    fn complete<T>(&mut self, read: ReadBack<T>, items: &[Item], now: Now) -> Option<T> {
        let kind = items.first().map_or(Kind::Post, kind);
        let unread = match read.read(&self.rules.delivery) {
            Ok(complete) => {
                self.reads.answered(kind);
                return Some(complete);
            }
            Err(unread) => unread,
        };
        let Unread { words, pause, signal } = self.not_read(kind, unread);
        for item in items.iter().filter(|item| matches!(item.state, State::Unknown { .. })) {
            self.recent.doubt(item, now.host);
        }
        let rules = Arc::clone(&self.rules);
        let settled = |item| {
            Ruling::new(item, unknown::after_failed_look(grounds(&rules), item, &words, pause, now.host))
        };
        self.step = Step::Settle { rulings: items.iter().map(settled).collect(), together: true };
        if let Some(signal) = signal {
            self.learn(signal, now);
        }
        None
    }
}

/// What follows from the list of open items.
pub(super) fn listed(
    items: Vec<Item>,
    open: &Open,
    rules: &Rules,
    recent: &mut Recent,
    now: HostTime,
) -> Follows {
    let grounds = grounds(rules);
    let timeout = rules.amo.request_timeout.duration();
    let (mut rulings, mut posts, mut makes) = (Vec::new(), Vec::new(), Vec::new());
    let mut numbers = BTreeSet::new();
    for item in items {
        if matches!(item.state, State::Unknown { .. }) {
            let settled = unknown::after_list_look(grounds, &item, open, timeout, now);
            recent.heed(&item, &settled, now);
            rulings.push(Ruling::new(&item, settled));
            continue;
        }
        let number = unknown::number(&item.call.record);
        match unknown::after_list(grounds, &item, open, recent.fresh(&number), now) {
            Next::Settle(settled) => rulings.push(Ruling::new(&item, settled)),
            Next::Post(errand) => posts.push(Item { errand, ..item }),
            Next::Make if let Some(held) = recent.hold(&item, rules, now) => {
                rulings.push(Ruling::new(&item, held));
            }
            // One item a number: the next call of it comes around when this one is made.
            Next::Make if numbers.insert(number) => makes.push(item),
            Next::Make => {}
        }
    }
    match () {
        // The others come around again.
        () if !rulings.is_empty() => Follows::Settle(rulings),
        () if !posts.is_empty() => Follows::Post(posts),
        () if !makes.is_empty() => Follows::Go(Stage::Intend { make: Make::Unsorted, items: makes }),
        () => Follows::Over,
    }
}

/// What follows from the search for contacts.
pub(super) fn searched(
    item: Item,
    found: &[Known],
    rules: &Rules,
    recent: &mut Recent,
    now: HostTime,
) -> Follows {
    let grounds = grounds(rules);
    if matches!(item.state, State::Unknown { .. }) {
        let timeout = rules.amo.request_timeout.duration();
        let settled = unknown::after_search_look(grounds, &item, found, timeout, now);
        recent.heed(&item, &settled, now);
        return Follows::Settle(vec![Ruling::new(&item, settled)]);
    }
    match (unknown::after_search(grounds, &item, found, now), item.errand.make) {
        (Next::Settle(settled), _) => Follows::Settle(vec![Ruling::new(&item, settled)]),
        (Next::Make, Some(_)) if let Some(held) = recent.hold(&item, rules, now) => {
            Follows::Settle(vec![Ruling::new(&item, held)])
        }
        (Next::Make, Some(make)) => Follows::Go(Stage::Intend { make, items: vec![item] }),
        (Next::Post(errand), _) => Follows::Post(vec![Item { errand, ..item }]),
        (Next::Make, None) => Follows::Over,
    }
}

/// The body that makes something for these calls.
pub fn body(make: Make, entries: &[(&Item, Entry)], rules: &Rules) -> Vec<u8> {
    let settings = &rules.amo;
    match make {
        Make::Unsorted => {
            json(entries.iter().map(|(item, entry)| {
                unsorted::item(entry, &item.call.record, settings, item.errand.needs_link)
            }))
        }
        Make::Contact => json(
            entries.iter().map(|(item, entry)| Contact::new(entry, &item.call.record, &settings.unknown)),
        ),
        Make::Lead => json(entries.iter().filter_map(|(item, entry)| {
            Some(Lead::new(entry, &item.call.record, &settings.unknown, item.errand.contact?))
        })),
    }
}

fn json<T: Serialize>(things: impl Iterator<Item = T>) -> Vec<u8> {
    serde_json::to_vec(&things.collect::<Vec<T>>()).expect("strings and numbers always have a JSON form")
}

pub(super) fn grounds(rules: &Rules) -> Grounds<'_> {
    Grounds { delivery: &rules.delivery, unknown: &rules.amo.unknown }
}
