//! Pure: what people are told once of users, owners and tasks.

use std::fmt;

use crate::amo::users::Standing;

/// Something that delivery goes on without, and a person may mend.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Complaint {
    /// The users cannot be read, for this reason.
    UsersUnread(String),
    /// The configuration names somebody who does not work there, at this place.
    BadUser { place: String, user: u64, is_known: bool },
    /// The token's user does not see all contacts.
    SeesPart,
    /// amoCRM refuses calls of this user.
    RefusedUser(u64),
    /// amoCRM refuses an extension as text.
    RefusedText,
    /// Whose a number is cannot be asked, for this reason.
    OwnersUnread(String),
    /// amoCRM refuses the task, for this reason.
    TaskRefused(String),
    /// More numbers are to be called back than are remembered.
    TooManyTasks,
}

impl Complaint {
    /// What the person is asked to do.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::UsersUnread(_) => {
                "users are not checked: a token with administrator rights may list them; asked again after a day"
            }
            Self::BadUser { .. } => {
                "its calls are booked on default-user until its line under [amocrm.users] names a user who works there"
            }
            Self::SeesPart => {
                "calls of contacts that he does not see look unknown and get second leads: let him see all contacts, or make the token as an administrator"
            }
            Self::RefusedUser(_) => "its calls are booked on default-user: check [amocrm.users]",
            Self::RefusedText => {
                "calls of extensions without a user go without one: add lines to [amocrm.users], or a default-user"
            }
            Self::OwnersUnread(_) => {
                "missed calls are booked on default-user: the token's user needs the right to see contacts"
            }
            Self::TaskRefused(_) => {
                "nobody is reminded to call back: check [amocrm.callback-task] and the right of the token's user to add tasks"
            }
            Self::TooManyTasks => "further missed calls make no tasks until some are closed",
        }
    }

    pub(super) fn of(place: &str, user: u64, standing: Standing) -> Option<Self> {
        let is_known = match standing {
            Standing::Active => return None,
            Standing::Inactive => true,
            Standing::Unknown => false,
        };
        Some(Self::BadUser { place: place.to_owned(), user, is_known })
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsersUnread(words) => write!(f, "amoCRM does not list its users to this token ({words})"),
            Self::BadUser { place, user, is_known: true } => {
                write!(f, "{place} = {user}: this user of amoCRM is switched off")
            }
            Self::BadUser { place, user, is_known: false } => {
                write!(f, "{place} = {user}: amoCRM has no such user")
            }
            Self::SeesPart => f.write_str("the token's user may not see all contacts"),
            Self::RefusedUser(user) => write!(f, "amoCRM refuses calls of the user {user}"),
            Self::RefusedText => f.write_str("amoCRM refuses an extension as text"),
            Self::OwnersUnread(words) => write!(f, "the owners of contacts cannot be asked for ({words})"),
            Self::TaskRefused(words) => write!(f, "amoCRM refuses the task to call back ({words})"),
            Self::TooManyTasks => f.write_str("too many numbers are to be called back"),
        }
    }
}
