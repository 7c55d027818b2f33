//! Pure: every action that may ever be sent to Asterisk. AMI users often hold rights to originate,
//! redirect and hang up calls, and some destructive actions need no right at all; so what can be
//! sent is a closed list, and [`Request`] has no other maker than [`Action::render`].

use std::fmt;

/// An action of the list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Asks for the challenge of an MD5 login.
    Challenge,
    Login {
        proof: Proof,
        /// Classes of events to be sent, as in manager.conf's `read`.
        events: &'static str,
    },
    Ping,
    CoreSettings,
    CoreStatus,
    CoreShowChannels,
    Status,
    BridgeList,
    ExtensionStateList,
    Logoff,
}

/// How a login shows that it knows the secret; the secret itself comes in at [`Action::render`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Proof {
    /// The secret in clear.
    Secret,
    /// `md5(challenge + secret)`.
    Digest { challenge: Vec<u8> },
}

/// Who logs in. The session never sees the secret, so it cannot show it.
pub trait Credentials {
    fn username(&self) -> &str;

    /// Any bytes: Asterisk compares them as they stand in manager.conf.
    fn secret(&self) -> &[u8];

    /// The MD5 digest of `challenge` followed by the secret, in lower-case hex: Asterisk compares
    /// it with `strcmp`.
    fn digest(&self, challenge: &[u8]) -> String;
}

/// The bytes of one action. They may hold a secret, so nothing prints them.
pub struct Request(Vec<u8>);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("the value of {0} has a line break or a NUL in it, which would end the line early")]
    Break(&'static str),
    #[error("the line of {0} is {1} bytes long; Asterisk reads lines of at most {LINE_MAX} bytes")]
    Long(&'static str, usize),
}

/// Asterisk's input buffer holds 1024 bytes with the line end; what is longer is refused there, or
/// silently dropped by old versions.
const LINE_MAX: usize = 1000;

impl Action {
    /// The action's name, as Asterisk knows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Challenge => "Challenge",
            Self::Login { .. } => "Login",
            Self::Ping => "Ping",
            Self::CoreSettings => "CoreSettings",
            Self::CoreStatus => "CoreStatus",
            Self::CoreShowChannels => "CoreShowChannels",
            Self::Status => "Status",
            Self::BridgeList => "BridgeList",
            Self::ExtensionStateList => "ExtensionStateList",
            Self::Logoff => "Logoff",
        }
    }

    /// Writes the action out as one block.
    ///
    /// # Errors
    /// When a value could break out of its line or the line is too long.
    pub fn render(&self, id: u32, credentials: &impl Credentials) -> Result<Request, Error> {
        let mut block = Vec::with_capacity(256);
        header(&mut block, "Action", self.name().as_bytes())?;
        header(&mut block, "ActionID", id.to_string().as_bytes())?;
        match self {
            Self::Challenge => header(&mut block, "AuthType", b"MD5")?,
            Self::Login { proof, events } => login(&mut block, proof, events, credentials)?,
            Self::Ping
            | Self::CoreSettings
            | Self::CoreStatus
            | Self::CoreShowChannels
            | Self::Status
            | Self::BridgeList
            | Self::ExtensionStateList
            | Self::Logoff => {}
        }
        block.extend_from_slice(b"\r\n");
        Ok(Request(block))
    }
}

impl Request {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} bytes)", self.0.len())
    }
}

fn login(
    block: &mut Vec<u8>,
    proof: &Proof,
    events: &str,
    credentials: &impl Credentials,
) -> Result<(), Error> {
    header(block, "Username", credentials.username().as_bytes())?;
    match proof {
        Proof::Secret => header(block, "Secret", credentials.secret())?,
        Proof::Digest { challenge } => {
            header(block, "AuthType", b"MD5")?;
            header(block, "Key", credentials.digest(challenge).as_bytes())?;
        }
    }
    // The mask is set with the login: the `Events` action may go without a reply
    // (brokeneventsaction), and events between the two would be missed.
    header(block, "Events", events.as_bytes())
}

fn header(block: &mut Vec<u8>, key: &'static str, value: &[u8]) -> Result<(), Error> {
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(Error::Break(key));
    }
    let length = key.len() + 2 + value.len() + 2;
    if length > LINE_MAX {
        return Err(Error::Long(key, length));
    }
    block.extend_from_slice(key.as_bytes());
    block.extend_from_slice(b": ");
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Somebody(&'static str, &'static [u8]);

    impl Credentials for Somebody {
        fn username(&self) -> &str {
            self.0
        }

        fn secret(&self) -> &[u8] {
            self.1
        }

        fn digest(&self, challenge: &[u8]) -> String {
            format!("digest-of-{}", String::from_utf8_lossy(challenge))
        }
    }

    fn login(proof: Proof) -> Action {
        Action::Login { proof, events: "call,cdr" }
    }

    #[track_caller]
    fn check(action: &Action, user: &Somebody, expected: Result<&[u8], Error>) {
        let rendered = action.render(7, user).map(|request| request.as_bytes().to_vec());
        assert_eq!(rendered, expected.map(<[u8]>::to_vec));
    }

    #[test]
    fn an_action_is_one_block_with_an_id() {
        check(&Action::Ping, &Somebody("u", b"s"), Ok(b"Action: Ping\r\nActionID: 7\r\n\r\n"));
    }

    #[test]
    fn a_plain_login_sends_the_secret_as_it_is() {
        let expected = b"Action: Login\r\nActionID: 7\r\nUsername: u\r\nSecret: \xef\xf0 x\r\n\
                         Events: call,cdr\r\n\r\n";
        check(&login(Proof::Secret), &Somebody("u", b"\xef\xf0 x"), Ok(expected));
    }

    #[test]
    fn a_digest_login_does_not_send_the_secret() {
        let expected = b"Action: Login\r\nActionID: 7\r\nUsername: u\r\nAuthType: MD5\r\n\
                         Key: digest-of-42\r\nEvents: call,cdr\r\n\r\n";
        let proof = Proof::Digest { challenge: b"42".to_vec() };
        check(&login(proof), &Somebody("u", b"hidden"), Ok(expected));
    }

    #[test]
    fn a_value_cannot_end_its_line() {
        for name in ["u\r\nAction: Originate", "u\n", "u\0"] {
            check(&login(Proof::Secret), &Somebody(name, b"s"), Err(Error::Break("Username")));
        }
        check(&login(Proof::Secret), &Somebody("u", b"s\r"), Err(Error::Break("Secret")));
    }

    #[test]
    fn a_line_is_at_most_a_thousand_bytes() {
        // "Secret: " and the line end are ten bytes.
        assert!(login(Proof::Secret).render(7, &Somebody("u", &[b'x'; 990])).is_ok());
        check(&login(Proof::Secret), &Somebody("u", &[b'x'; 991]), Err(Error::Long("Secret", 1001)));
    }

    #[test]
    fn a_request_is_never_printed() {
        let request = login(Proof::Secret).render(7, &Somebody("u", b"hidden")).unwrap();
        assert!(!format!("{request:?}").contains("hidden"));
    }
}
