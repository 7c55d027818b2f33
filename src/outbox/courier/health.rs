//! Pure: how an account fares, and when it may be asked again.

use std::time::Duration;

use crate::outbox::courier::effect::{Now, Token};
use crate::outbox::courier::standing::{Hold, Signal, Standing};
use crate::outbox::policy::Policy;
use crate::time::MonoTime;

/// How often a refused or missing token is looked for.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How an account fares.
#[derive(Debug)]
pub(super) struct Health {
    standing: Standing,
    /// The standing that was announced last.
    announced: Option<Standing>,
    proof: Proof,
    /// A POST met the trouble. Then questions that are answered prove nothing: only a call that
    /// amoCRM took or judged ends it.
    by_post: bool,
    /// Troubles in a row, for the pauses between tries.
    troubles: u32,
    /// Nothing is asked of amoCRM before.
    paused_until: MonoTime,
    /// The token was refused with these words, and is about to be read again.
    refused: Option<String>,
    /// A refused token was replaced since a request was last accepted.
    renewed: bool,
    /// When a refused token is looked for again.
    renew_at: MonoTime,
    /// Tokens in a row that were asked for and did not come.
    renewals_late: u32,
}

/// What shows that the account answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    /// Nothing since it last gave trouble: a harmless question comes first.
    Missing,
    /// Nothing but the answer to that: something was refused that may be of one place, or of the account.
    Doubted,
    Given,
}

/// Whether amoCRM may be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gate {
    Open,
    /// A harmless question comes first.
    Probe,
    /// The token is to be read again.
    Renew,
    ShutUntil(MonoTime),
}

impl Proof {
    /// `other`, unless a doubt is left.
    fn or(self, other: Self) -> Self {
        match self {
            Self::Doubted => self,
            Self::Missing | Self::Given => other,
        }
    }
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            standing: Standing::Starting,
            announced: None,
            proof: Proof::Missing,
            by_post: false,
            troubles: 0,
            paused_until: MonoTime::default(),
            refused: None,
            renewed: false,
            renew_at: MonoTime::default(),
            renewals_late: 0,
        }
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The standing, when it is news.
    pub(super) fn news(&mut self) -> Option<Standing> {
        if self.announced.as_ref().is_some_and(|announced| announced.is_alike(&self.standing)) {
            return None;
        }
        self.announced = Some(self.standing.clone());
        self.announced.clone()
    }

    /// Whether amoCRM may be asked at `now`. While the token is refused, the wait is also for
    /// another one.
    pub(super) fn gate(&self, now: Now) -> Gate {
        let open_at = self.paused_until.max(now.open_at);
        if self.refused.is_some() {
            return if now.mono >= self.renew_at { Gate::Renew } else { Gate::ShutUntil(self.renew_at) };
        }
        if now.mono >= open_at {
            return match self.proof {
                Proof::Given => Gate::Open,
                Proof::Missing | Proof::Doubted => Gate::Probe,
            };
        }
        match (self.is_unauthorized(), now.mono >= self.renew_at) {
            (true, true) => Gate::Renew,
            (true, false) => Gate::ShutUntil(open_at.min(self.renew_at)),
            (false, _) => Gate::ShutUntil(open_at),
        }
    }

    /// A question was answered. That heals a start; other troubles end with a call delivered, or
    /// with [`answered_and_idle`](Self::answered_and_idle).
    pub(super) fn answered(&mut self) {
        self.proof = Proof::Given;
        if self.standing == Standing::Starting {
            self.works();
        }
    }

    /// A question was answered, and no call waits that could show more: enough where no POST met
    /// the trouble. Payment alone shows only when something is written.
    pub(super) fn answered_and_idle(&mut self) {
        if !self.by_post && !matches!(self.standing, Standing::Held { why: Hold::Unpaid, .. }) {
            self.works();
        }
    }

    /// Whether a refused token was replaced since a request was last accepted.
    pub(super) fn is_renewed(&self) -> bool {
        self.renewed
    }

    /// A harmless question comes before the next call, whatever lands meanwhile.
    pub(super) fn ask_first(&mut self) {
        self.proof = Proof::Doubted;
    }

    /// A call that a POST left open was found in amoCRM. A hold is not ended by it: the call may be
    /// of the time before.
    pub(super) fn found(&mut self) {
        match self.standing {
            Standing::Troubled { .. } => self.works(),
            Standing::Starting | Standing::Delivering | Standing::Held { .. } => {}
        }
    }

    /// Takes in what a POST said of the account; `jitter` is from 0 to 1.
    pub(super) fn learn_of_post(&mut self, signal: Signal, policy: &Policy, jitter: f64, now: Now) {
        self.by_post = self.by_post || matches!(signal, Signal::Trouble(_) | Signal::Hold(..));
        self.learn(signal, policy, jitter, now);
    }

    /// Takes in what a request said of the account; `jitter` is from 0 to 1.
    pub(super) fn learn(&mut self, signal: Signal, policy: &Policy, jitter: f64, now: Now) {
        match signal {
            Signal::Works => self.works(),
            Signal::Slow => {}
            Signal::Trouble(words) => {
                let pause = policy.retry_delay(self.troubles, jitter);
                self.pause_until(now.mono.after(pause));
                self.standing.trouble(words, now.host);
            }
            Signal::Hold(why, words) => {
                let pause = policy.probe_delay(self.troubles, jitter);
                self.pause_until(now.mono.after(pause));
                self.hold(why, words, now);
            }
        }
    }

    /// Another token was looked for; `jitter` is from 0 to 1.
    pub(super) fn token(&mut self, token: Token, policy: &Policy, jitter: f64, now: Now) {
        self.renew_at = now.mono.after(RENEW_EVERY);
        match (token, self.refused.take()) {
            (Token::Later(words), refused) => {
                self.refused = refused;
                self.renewals_late = self.renewals_late.saturating_add(1);
                let pause = policy.retry_delay(self.renewals_late - 1, jitter);
                self.renew_at = now.mono.after(pause.max(RENEW_EVERY));
                self.standing.trouble(words, now.host);
            }
            (Token::Another, _) => {
                self.renewed = true;
                self.renewals_late = 0;
                // What the old one met says nothing of it.
                self.by_post = false;
                self.paused_until = now.mono;
            }
            (Token::Absent(words), _) | (Token::Same, Some(words)) => {
                self.standing.hold(Hold::Unauthorized, words, now.host);
            }
            (Token::Same, None) => {}
        }
    }

    /// A 401 is answered by reading the token again, once, before people are called.
    fn hold(&mut self, why: Hold, words: String, now: Now) {
        if why == Hold::Unauthorized && !self.renewed && !self.is_unauthorized() {
            self.refused = Some(words);
            self.renew_at = now.mono;
        } else {
            self.renew_at = now.mono;
            self.standing.hold(why, words, now.host);
        }
    }

    fn works(&mut self) {
        self.standing = Standing::Delivering;
        self.proof = self.proof.or(Proof::Given);
        self.by_post = false;
        self.troubles = 0;
        self.paused_until = MonoTime::default();
        self.refused = None;
        self.renewed = false;
        self.renewals_late = 0;
    }

    fn pause_until(&mut self, until: MonoTime) {
        self.troubles = self.troubles.saturating_add(1);
        self.paused_until = until;
        self.proof = self.proof.or(Proof::Missing);
    }

    fn is_unauthorized(&self) -> bool {
        matches!(self.standing, Standing::Held { why: Hold::Unauthorized, .. })
    }
}
