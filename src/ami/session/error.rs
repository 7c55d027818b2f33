//! Pure: why a session ended, and how soon a new one makes sense.

use crate::ami::banner;

/// Why a session ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(
        "the PBX closed the connection before greeting: a deny/permit rule, authlimit in manager.conf \
         or a firewall refuses this host"
    )]
    Refused,
    #[error(
        "no Asterisk greeting within {} s: is this the AMI port of manager.conf, usually 5038?",
        super::BANNER_WAIT.as_secs()
    )]
    NoBanner,
    #[error("the PBX speaks AMI {version}: it is {}", banner::OLD)]
    OldAsterisk { version: String },
    #[error(
        "Asterisk refused the user {username:?}: check its secret, and its deny/permit lines, in manager.conf"
    )]
    AuthenticationFailed { username: String },
    #[error("the user {username:?} is logged in already and manager.conf says allowmultiplelogin = no")]
    InUse { username: String },
    #[error("Asterisk refused {action}: {message}")]
    Rejected { action: &'static str, message: String },
    #[error("Asterisk did not answer {action} within {} s", super::REPLY_WAIT.as_secs())]
    Unanswered { action: &'static str },
    #[error("nothing came from the PBX for {0} s although it was pinged")]
    Silent(u64),
    #[error("the PBX closed the connection")]
    Closed,
}

/// How soon a new try makes sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// It may be over in a second: a restart, a network.
    Soon,
    /// A person has to act first; and fail2ban counts failed logins.
    Late,
}

impl Error {
    /// Whether the PBX is there and does not let the user in.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::AuthenticationFailed { .. } | Self::Rejected { .. } => true,
            Self::Refused
            | Self::NoBanner
            | Self::OldAsterisk { .. }
            | Self::InUse { .. }
            | Self::Unanswered { .. }
            | Self::Silent(_)
            | Self::Closed => false,
        }
    }

    pub fn retry(&self) -> Retry {
        match self {
            Self::OldAsterisk { .. } | Self::AuthenticationFailed { .. } | Self::Rejected { .. } => {
                Retry::Late
            }
            Self::Refused
            | Self::NoBanner
            | Self::InUse { .. }
            | Self::Unanswered { .. }
            | Self::Silent(_)
            | Self::Closed => Retry::Soon,
        }
    }
}
