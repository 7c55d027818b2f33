//! Pure: files that are looked for, before calls are posted and after, and links that are added.

use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::amo::calls::Entry;
use crate::amo::late_link::{self, Changed, FORMS, Fate, Form, Request, Target};
use crate::amo::recording::{self, Search};
use crate::outbox::courier::brake::Kind;
use crate::outbox::courier::effect::{Amended, Effect, Now, Ruling};
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::courier::step::Step;
use crate::outbox::courier::telling::Teller;
use crate::outbox::courier::{Courier, flight};
use crate::outbox::queue::{Item, State};
use crate::outbox::sound;
use crate::time::MonoTime;

/// Where the sounds of some calls are.
#[derive(Debug)]
pub(super) enum Stage {
    /// Calls that are about to be posted.
    Before(Vec<Item>),
    /// Calls that are delivered, and whose link is owed.
    After(Vec<Item>),
    Amend(Box<Amendment>),
}

/// A link that is added.
#[derive(Debug)]
pub(super) struct Amendment {
    item: Item,
    file: String,
    entry: Entry,
    /// The form that is tried now, by its place in the order of this account.
    at: usize,
}

/// Links that were added later, and those that were not, since the process began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct LateLinks {
    pub added: u64,
    pub given_up: u64,
}

/// What is known of how an account takes links.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) counts: LateLinks,
    /// The form that worked last.
    works: Option<Form>,
    /// Notes in a row that could not be changed.
    refusals: u32,
    /// Nothing is changed before: it was refused again and again.
    paused_until: MonoTime,
}

/// Delivered calls that are taken up at once; more come around again.
pub(super) const OWING_LIMIT: usize = 8;
/// Notes that are refused in a row before the account is left alone with them for a while.
const REFUSALS_MAX: u32 = 3;
const REFUSED_PAUSE: Duration = Duration::from_hours(1);

impl Links {
    /// The forms in the order in which they are tried.
    fn forms(&self) -> Vec<Form> {
        let others = FORMS.into_iter().filter(|form| Some(*form) != self.works);
        self.works.into_iter().chain(others).collect()
    }

    fn done(&mut self, form: Form) {
        self.works = Some(form);
        self.refusals = 0;
        self.counts.added += 1;
    }

    fn refused(&mut self, now: MonoTime) {
        self.refusals += 1;
        if self.refusals >= REFUSALS_MAX {
            self.refusals = 0;
            self.paused_until = now.after(REFUSED_PAUSE);
        }
    }
}

impl Stage {
    pub(super) fn effect(&self, teller: &Teller<'_>, links: &Links) -> Effect {
        match self {
            Self::Before(items) | Self::After(items) => {
                Effect::FindSounds { searches: items.iter().map(|item| search(item, teller)).collect() }
            }
            Self::Amend(amendment) => match amendment.request(&links.forms()) {
                Some((_, Request { path, body })) => Effect::Amend { path, body },
                // It was made with one; a form that was shut meanwhile leaves the call for later.
                None => Effect::NextDue,
            },
        }
    }
}

/// A search for nothing stands for calls of which nothing is looked for any more.
fn search(item: &Item, teller: &Teller<'_>) -> Search {
    let clocks = teller.clocks(&item.call.record);
    let search = recording::search(&item.call.record, &teller.rules.amo, &clocks);
    search.unwrap_or_else(|| Search { root: "/".into(), names: Vec::new(), patterns: Vec::new() })
}

impl Amendment {
    /// The note of a delivered call; in words, why it cannot be named.
    fn new(item: &Item, file: String, teller: &Teller<'_>) -> Result<Self, String> {
        let with = sound::with(item.clone(), Some(file.clone()), teller.now);
        let entry = teller.entry_of_sent(&with).map_err(|unfit| unfit.to_string())?;
        if entry.link.is_none() {
            return Err("the file has no address, or amoCRM takes none".to_owned());
        }
        let amendment = Self { item: item.clone(), file, entry, at: 0 };
        if amendment.request(&FORMS).is_none() {
            return Err("amoCRM did not say which note the call is".to_owned());
        }
        Ok(amendment)
    }

    fn request(&self, forms: &[Form]) -> Option<(Form, Request)> {
        let State::Sent { note_id: Some(note), entity: Some(entity), .. } = &self.item.state else {
            return None;
        };
        let target = Target { note: *note, kind: &entity.kind, entity: entity.id };
        let form = *forms.get(self.at)?;
        Some((form, late_link::request(form, target, &self.entry)?))
    }
}

impl Courier {
    /// Posts calls, after a look for the files of those that have one.
    pub(super) fn post_with_sounds(&mut self, batch: Vec<Item>, now: Now) {
        let settings = &self.rules.amo;
        let is_wanted = |item: &Item| self.limits.link(now.host) && sound::is_wanted(item, settings);
        self.step = if batch.iter().any(is_wanted) {
            Step::Sound(Stage::Before(batch))
        } else {
            Step::Intend(flight::load(batch, &self.teller(now)))
        };
    }

    fn post_noted(&mut self, posts: Vec<Item>, now: Now) {
        let mut loads = flight::load(posts, &self.teller(now));
        let is_taken = self.limits.link(now.host);
        let rulings = if is_taken { flight::note(&mut loads, &self.rules.amo) } else { Vec::new() };
        self.step = if rulings.is_empty() { Step::Intend(loads) } else { Step::Note { rulings, loads } };
    }

    pub(super) fn found_sounds(&mut self, found: Vec<Option<String>>, now: Now) {
        let Step::Sound(stage) = mem::take(&mut self.step) else { return };
        match stage {
            Stage::Before(items) => self.found_before(items, found, now),
            Stage::After(items) => self.found_after(&items, found, now),
            amend @ Stage::Amend(_) => self.step = Step::Sound(amend),
        }
    }

    /// Calls whose file is there are posted with those that waited long enough, unless others of the
    /// lease still wait.
    fn found_before(&mut self, items: Vec<Item>, found: Vec<Option<String>>, now: Now) {
        let settings = &self.rules.amo;
        let (mut waits, mut readies, mut posts) = (Vec::new(), Vec::new(), Vec::new());
        for (item, found) in items.into_iter().zip(found) {
            if !sound::is_wanted(&item, settings) {
                posts.push(item);
                continue;
            }
            match (&found, sound::wait(&item, settings, now.host)) {
                (None, Some(settlement)) => waits.push(Ruling::new(&item, settlement)),
                (None, None) => posts.push(sound::with(item, None, now.host)),
                (Some(file), _) => {
                    readies.push(Ruling::new(&item, sound::ready(&item, file.clone(), now.host)));
                    posts.push(sound::with(item, found, now.host));
                }
            }
        }
        if waits.is_empty() {
            return self.post_noted(posts, now);
        }
        // The others come around again, those that were found without another look.
        let rulings = waits.into_iter().chain(readies).collect();
        self.step = Step::Settle { rulings, together: true };
    }

    /// Something is owed to these calls.
    pub(super) fn owing(&mut self, items: Vec<Item>, now: Now) {
        self.step = if items.is_empty() {
            // What the store said is due has been taken meanwhile.
            Step::Rest(now.mono.after(super::REST_MIN))
        } else {
            Step::Sound(Stage::After(items))
        };
    }

    /// One link is added at a time; those that cannot be wait.
    fn found_after(&mut self, items: &[Item], found: Vec<Option<String>>, now: Now) {
        let may_change = self.asides.brakes.lets(Kind::Links, now.mono);
        let mut rulings = Vec::new();
        let mut next = None;
        for (item, found) in items.iter().zip(found) {
            let settlement = match found {
                None => sound::later(item, &self.rules.amo, "there is no file", now.host),
                Some(_) if now.mono < self.links.paused_until || !may_change => {
                    sound::later(item, &self.rules.amo, "amoCRM lets no note be changed", now.host)
                }
                Some(file) => match Amendment::new(item, file, &self.teller(now)) {
                    Ok(amendment) => {
                        next.get_or_insert(amendment);
                        continue;
                    }
                    Err(reason) => sound::given_up(item, reason, now.host),
                },
            };
            self.links.counts.given_up += u64::from(!settlement.errand.owes_link());
            rulings.push(Ruling::new(item, settlement));
        }
        self.step = match next {
            _ if !rulings.is_empty() => Step::Settle { rulings, together: true },
            Some(amendment) => Step::Sound(Stage::Amend(Box::new(amendment))),
            None => Step::Begin,
        };
    }

    pub(super) fn amended(&mut self, amended: Amended, now: Now) {
        let Step::Sound(Stage::Amend(mut amendment)) = mem::take(&mut self.step) else { return };
        let forms = self.links.forms();
        let Some(form) = forms.get(amendment.at).copied() else { return };
        let Changed { account, fate, words } = match amended {
            Amended::Answered(changed) => changed,
            Amended::NotSent(words) => {
                return self.not_amended(&amendment, &words, Signal::Trouble(words.clone()), now);
            }
            Amended::NoToken(words) => {
                return self.not_amended(
                    &amendment,
                    &words,
                    Signal::Hold(Hold::Unauthorized, words.clone()),
                    now,
                );
            }
            Amended::Quiet => {
                return self.not_amended(&amendment, "amoCRM has asked for quiet", Signal::Slow, now);
            }
        };
        match fate {
            Fate::Done => {
                self.links.done(form);
                self.aside_works(Kind::Links);
                let settlement = sound::added(&amendment.item, amendment.file.clone(), now.host);
                self.step =
                    Step::Settle { rulings: vec![Ruling::new(&amendment.item, settlement)], together: true };
            }
            Fate::Refused if amendment.at + 1 < forms.len() => {
                amendment.at += 1;
                self.step = Step::Sound(Stage::Amend(amendment));
            }
            Fate::Refused => {
                self.links.refused(now.mono);
                self.links.counts.given_up += 1;
                let reason = format!("amoCRM does not change the note: {words}");
                let settlement = sound::given_up(&amendment.item, reason, now.host);
                self.step =
                    Step::Settle { rulings: vec![Ruling::new(&amendment.item, settlement)], together: true };
            }
            Fate::Open => {
                let signal = Signal::of(account, words.clone());
                self.not_amended(&amendment, &words, signal, now);
            }
        }
    }

    /// The link is added another time.
    fn not_amended(&mut self, amendment: &Amendment, words: &str, signal: Signal, now: Now) {
        let settlement = sound::later(&amendment.item, &self.rules.amo, words, now.host);
        self.links.counts.given_up += u64::from(!settlement.errand.owes_link());
        self.step = Step::Settle { rulings: vec![Ruling::new(&amendment.item, settlement)], together: true };
        match signal {
            Signal::Hold(why, words) => self.refused_aside(Kind::Links, why, words, now),
            signal @ (Signal::Slow | Signal::Trouble(_)) => self.learn(signal, now),
            Signal::Works => {}
        }
    }
}
