//! Pure: what people are told once of users, owners and tasks.

use std::fmt;

use crate::amo::users::Standing;
use crate::outbox::courier::brake::Kind;
use crate::outbox::errand::Make;

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
    /// Whose is what a task is about cannot be asked, for this reason.
    TaskOwnersUnread(String),
    /// Tasks can be neither looked for nor made nor closed, for this reason.
    TasksOff(String),
    /// Notes cannot be changed, for this reason.
    LinksOff(String),
    /// amoCRM refuses the task, for this reason.
    TaskRefused(String),
    /// What others write of calls cannot be read, for this reason.
    ForeignUnread(String),
    /// This is not made for unknown numbers, for this reason.
    MakesOff(Make, String),
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
                "missed calls are booked on default-user: the token's user needs the right to see contacts; asked again after a day"
            }
            Self::TaskOwnersUnread(_) => {
                "tasks to call back are given to the user of the call: the token's user needs the right to see contacts, companies and leads; asked again after a day"
            }
            Self::TasksOff(_) => {
                "nobody is reminded to call back: give the token's user the right to see and add tasks, or switch [amocrm.callback-task] off; tried again after a day"
            }
            Self::LinksOff(_) => {
                "recordings that come late get no link: give the token's user the right to change notes, or set recording-late = \"0s\"; tried again after a day"
            }
            Self::ForeignUnread(_) => {
                "duplicates that others write are not noticed: the token's user needs the right to see notes, or set notice-duplicates = false; asked again after a day"
            }
            Self::TaskRefused(_) => {
                "nobody is reminded to call back: check [amocrm.callback-task] and the right of the token's user to add tasks"
            }
            Self::MakesOff(..) => {
                "calls of unknown numbers wait for it, others go: check the rights of the token's user, the tariff and what stands between, or choose another way in [amocrm.unknown]; tried again after an hour"
            }
            Self::TooManyTasks => "further missed calls make no tasks until those that wait are made",
        }
    }

    /// A kind of question is off.
    pub(super) fn off(kind: Kind, words: String) -> Self {
        match kind {
            Kind::Users => Self::UsersUnread(words),
            Kind::Owners => Self::OwnersUnread(words),
            Kind::TaskOwners => Self::TaskOwnersUnread(words),
            Kind::Tasks => Self::TasksOff(words),
            Kind::Links => Self::LinksOff(words),
            Kind::Foreign => Self::ForeignUnread(words),
        }
    }

    /// The kind of question that is off.
    pub(super) const fn kind(&self) -> Option<Kind> {
        match self {
            Self::UsersUnread(_) => Some(Kind::Users),
            Self::OwnersUnread(_) => Some(Kind::Owners),
            Self::TaskOwnersUnread(_) => Some(Kind::TaskOwners),
            Self::TasksOff(_) => Some(Kind::Tasks),
            Self::LinksOff(_) => Some(Kind::Links),
            Self::ForeignUnread(_) => Some(Kind::Foreign),
            Self::BadUser { .. }
            | Self::SeesPart
            | Self::RefusedUser(_)
            | Self::RefusedText
            | Self::TaskRefused(_)
            | Self::MakesOff(..)
            | Self::TooManyTasks => None,
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
            Self::TaskOwnersUnread(words) => {
                write!(f, "the owners of what tasks are about cannot be asked for ({words})")
            }
            Self::TasksOff(words) => write!(f, "amoCRM refuses tasks to this token ({words})"),
            Self::LinksOff(words) => write!(f, "amoCRM lets this token change no notes ({words})"),
            Self::ForeignUnread(words) => write!(f, "what others write of calls cannot be read ({words})"),
            Self::TaskRefused(words) => write!(f, "amoCRM refuses the task to call back ({words})"),
            Self::MakesOff(make, words) => {
                write!(f, "amoCRM refuses {} for unknown numbers ({words})", made(*make))
            }
            Self::TooManyTasks => f.write_str("too many numbers are to be called back"),
        }
    }
}

/// Things of this kind.
const fn made(make: Make) -> &'static str {
    match make {
        Make::Unsorted => "items of Incoming leads",
        Make::Contact => "new contacts",
        Make::Lead => "new leads",
    }
}
