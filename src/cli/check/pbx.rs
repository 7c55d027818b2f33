//! `ami2amo check` at a PBX: logs in as the daemon does, asks what it asks, listens a while, and logs off.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ami::connection::tap::{Copied, Tap};
use crate::ami::connection::{self, Connection, Error};
use crate::ami::event::{Event, List, ListPart, What};
use crate::ami::heard::Heard;
use crate::ami::session::notice::Notice;
use crate::ami::session::offset::Offset;
use crate::ami::wire::Frame;
use crate::amo::people::is_extension;
use crate::clock;
use crate::config::Pbx;
use crate::config::check::Finding;
use crate::ops::words::Language;
use crate::time::MonoTime;

mod judge;
pub(super) mod manager_conf;

/// What a look at a PBX came to.
pub(super) struct Looked {
    pub findings: Vec<Finding>,
    /// Extensions that have a device by the PBX's own hints.
    pub extensions: BTreeSet<String>,
}

/// What was seen of a PBX.
#[derive(Debug, Default)]
struct Look {
    ami_version: Option<String>,
    asterisk_version: Option<String>,
    logged_in: bool,
    /// Asterisk said that it is fully booted, which it says to users with the class `system`.
    booted: bool,
    /// Actions that the user may not do, and what Asterisk said.
    denied: Vec<(&'static str, String)>,
    offset: Option<Offset>,
    heard: Heard,
    extensions: BTreeSet<String>,
    /// The list of channels has come.
    listed: bool,
    ended: Option<Error>,
}

/// Longest look, besides the time of listening: an address that swallows everything, and TLS.
const LOOK_MAX: Duration = Duration::from_secs(20);

/// Event classes that a call shows at once.
const FREQUENT: [&str; 2] = ["call", "system"];

/// Looks at a PBX and tells what is right and what is not.
pub(super) async fn look(
    pbx: &Pbx,
    listen: Duration,
    file: Option<&manager_conf::User>,
    language: Language,
) -> Looked {
    let mut look = Look::default();
    let ended = tokio::time::timeout(LOOK_MAX + listen, converse(pbx, listen, &mut look)).await;
    let is_late = ended.is_err();
    if let Ok(Err(error)) = ended {
        look.ended = Some(error);
    }
    let findings = judge::findings(pbx, &look, is_late, listen, file, language);
    Looked { findings, extensions: look.extensions }
}

async fn converse(pbx: &Pbx, listen: Duration, look: &mut Look) -> Result<(), Error> {
    let settings = &pbx.connection;
    let stream = connection::reach(&settings.host, settings.port, &settings.security).await?;
    let (stream, copied) = Tap::new(stream);
    let mut connection = Connection::new(stream, settings);
    let mut until: Option<MonoTime> = None;
    loop {
        tokio::select! {
            biased;
            waited = connection.wait() => waited?,
            () = clock::sleep_until(until) => break,
        }
        let handled = connection.handle(|frame| look.frame(frame));
        look.news(&mut connection, &copied);
        handled?;
        if look.logged_in {
            until = until.or_else(|| Some(clock::mono().after(listen)));
        }
        if look.is_whole() {
            break;
        }
    }
    connection.log_off(|_| {}).await;
    Ok(())
}

impl Look {
    fn frame(&mut self, frame: &Frame<'_>) {
        let Some(event) = Event::parse(frame) else { return };
        if let What::Hint { exten, device } = event.what {
            let exten = String::from_utf8_lossy(exten).into_owned();
            if is_extension(&exten) && is_device(device) {
                self.extensions.insert(exten);
            }
        }
        self.listed |= matches!(event.what, What::List(ListPart::End { list: List::Channels, .. }));
    }

    fn news<S: tokio::io::AsyncRead + tokio::io::AsyncWrite>(
        &mut self,
        connection: &mut Connection<S>,
        copied: &Copied,
    ) {
        self.heard.take(&copied.take());
        while let Some(notice) = connection.poll_notice() {
            match notice {
                Notice::Greeted { ami_version } => self.ami_version = Some(ami_version),
                Notice::LoggedIn => self.logged_in = true,
                Notice::Booted => self.booted = true,
                Notice::Identified { asterisk_version } => self.asterisk_version = Some(asterisk_version),
                Notice::Denied { action, message } => self.denied.push((action, message)),
                Notice::Unanswered { action } => self.denied.push((action, "no answer".to_owned())),
                Notice::BootUnconfirmed | Notice::Started { .. } => {}
            }
        }
        self.offset = connection.session().offset();
    }

    /// Nothing more can be learned by waiting.
    fn is_whole(&self) -> bool {
        let hears = FREQUENT.iter().all(|class| self.heard.classes.contains(*class));
        let asked = self.listed && self.asterisk_version.is_some() && self.offset.is_some();
        hears && asked && self.heard.timed > 0
    }
}

/// Whether a hint names a telephone: `PJSIP/101&Custom:DND101`.
fn is_device(hint: &[u8]) -> bool {
    let device = hint.split(|byte| *byte == b'&').next().unwrap_or_default();
    device.contains(&b'/') && !device.starts_with(b"Local/")
}
