//! Pure: what a session has to tell while it goes on.

/// News for the log and the status line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// Asterisk greeted with this AMI version.
    Greeted {
        ami_version: String,
    },
    LoggedIn,
    /// Asterisk said that it is fully booted: events are flowing.
    Booted,
    /// It did not say so in time; the AMI user may lack the class `system`. Events flow all the same.
    BootUnconfirmed,
    /// What the PBX is.
    Identified {
        asterisk_version: String,
    },
    /// Asterisk has been running since then: a date and a time in its own time zone.
    Started {
        at: String,
    },
    /// The AMI user may not do this, or Asterisk does not know it: the session goes on without.
    Denied {
        action: &'static str,
        message: String,
    },
    /// No reply came; the session goes on without.
    Unanswered {
        action: &'static str,
    },
}
