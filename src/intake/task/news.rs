//! What an intake tells: of its connection, of the stream, and of what the PBX does not give.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::ami::connection;
use crate::ami::session::notice::Notice;
use crate::ami::wire::Damage;
use crate::clock;
use crate::intake::task::{Intake, Link};

/// Further damage of one stream is told this often.
const DAMAGE_AGAIN: Duration = Duration::from_mins(1);

impl Intake {
    pub(super) fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Greeted { ami_version } => debug!(ami_version, "the PBX greets"),
            Notice::LoggedIn => {
                info!("connected to the PBX and logged in");
                self.way.link.send_replace(Link::Up { asterisk_version: None });
            }
            Notice::Booted => debug!("the PBX is fully booted"),
            Notice::BootUnconfirmed if self.first("FullyBooted") => {
                warn!(
                    "the PBX does not say that it is fully booted: add system to the AMI user's read in \
                     manager.conf, so that a restart of Asterisk is noticed at once"
                );
            }
            Notice::BootUnconfirmed => debug!("no FullyBooted"),
            Notice::Started { at } => {
                if self.started.replace(at.clone()).is_some_and(|before| before != at) {
                    warn!(at, "Asterisk was restarted (its own time): its calls are over");
                }
            }
            Notice::Identified { asterisk_version } => {
                info!(asterisk_version, "the PBX is identified");
                self.way.link.send_replace(Link::Up { asterisk_version: Some(asterisk_version) });
            }
            Notice::Denied { action, message: reason } if self.first(action) => {
                let without = lacking(action);
                warn!(
                    action,
                    reason,
                    "the PBX denies an action: give the AMI user write = reporting in manager.conf; until then \
                     {without}"
                );
            }
            Notice::Denied { action, message: reason } => debug!(action, reason, "the PBX denies an action"),
            Notice::Unanswered { action } => debug!(action, "the PBX left an action unanswered"),
        }
    }

    /// Whether nothing was said yet of `lack`.
    fn first(&mut self, lack: &'static str) -> bool {
        self.lacks.insert(lack)
    }

    /// Tells what a list of the PBX's channels brought to light.
    pub(super) fn tell_findings(&mut self) {
        let now = self.reader.stats().findings;
        let before = std::mem::replace(&mut self.findings, now);
        if before == now {
            return;
        }
        if now.unannounced > before.unannounced && self.first("Newchannel") {
            warn!(
                "the PBX has channels that no event announced: add call to the AMI user's read in \
                 manager.conf, and look whether an eventfilter drops Newchannel"
            );
        }
        let met = now.met - before.met;
        let (ended, overdue) = (now.ended - before.ended, now.overdue - before.overdue);
        if ended + overdue > 0 {
            info!(
                ended,
                overdue, "calls ended unseen, as the PBX's list of channels shows: they are partial"
            );
        }
        debug!(met, ghosts = now.ghosts, torn = now.torn, "the PBX listed its channels");
    }

    /// Tells of damage at once, and of more of it once a minute.
    pub(super) fn tell_damage(&mut self, damage: Damage) {
        let now = clock::mono();
        if damage == self.damage || self.damage_told.is_some_and(|told| now.since(told) < DAMAGE_AGAIN) {
            return;
        }
        let Damage { glued, oversize, headless } = damage;
        warn!(glued, oversize, headless, "the PBX's stream is damaged: some events were dropped");
        self.damage = damage;
        self.damage_told = Some(now);
    }

    /// Makes a loss known: the herald tells it, with what to do.
    pub(super) fn tell_loss(&mut self, error: connection::Error, pause: Duration) {
        let is_refusal = error.is_refusal();
        let reason = format!("{:#}", anyhow::Error::new(error));
        let pause_s = pause.as_secs();
        debug!(pause_s, "cannot follow the PBX: {reason}");
        self.way.link.send_replace(if is_refusal { Link::Refused { reason } } else { Link::Down { reason } });
    }
}

/// What is missing where the PBX denies `action`.
fn lacking(action: &str) -> &'static str {
    match action {
        "Status" | "CoreShowChannels" => "calls that end while the connection is away stay open",
        "BridgeList" => "a conference that was there before the connection may be taken for a call",
        "ExtensionStateList" => "extensions are known by their calls only",
        _ => "the version and start of Asterisk are not known",
    }
}
