//! Pure: the users of an account: who works there, and whether the token's user sees all contacts.
//!
//! Only an administrator's token may list them, so nothing rests on the list: without it every id of the
//! configuration is taken for right until amoCRM refuses it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::amo::answer::{self, Account, Reply, id_of};
use crate::amo::notes;

/// Most users on a page that amoCRM gives.
pub const PAGE_MAX: usize = 250;
/// Most pages that are read: 5,000 users.
pub const PAGES_MAX: u32 = 20;

/// The users of an account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roster {
    users: BTreeMap<u64, User>,
    /// The list has more pages than are read: whoever is missing may be on one of them.
    pub is_cut: bool,
    /// The user whose token this is.
    pub me: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct User {
    is_active: bool,
    sight: Sight,
}

/// Which contacts a user may see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    All,
    /// Those of his group, his own, or none.
    Part,
    /// The list does not say.
    Unsaid,
}

/// How a user stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Active,
    Inactive,
    /// There is no such user.
    Unknown,
}

/// What one page of the list said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Page {
    Read { more: bool },
    Unread { account: Account, words: String },
}

/// The path and query of one page of the list, counted from 1.
pub fn path(page: u32) -> String {
    format!("/api/v4/users?limit={PAGE_MAX}&page={page}")
}

/// The token's user, as `GET /api/v4/account` names him.
pub fn me(reply: &Reply) -> Option<u64> {
    id_of(answer::json_object(&reply.body)?.get("current_user_id"))
}

impl Roster {
    /// A list of which nothing is read yet, and whose token it is read with.
    pub fn of(me: Option<u64>) -> Self {
        Self { me, ..Self::default() }
    }

    /// Takes in one page.
    pub fn take(&mut self, reply: &Reply) -> Page {
        if reply.status == 204 {
            return Page::Read { more: false };
        }
        let json = answer::json_object(&reply.body);
        let users = json.as_ref().and_then(|body| body.pointer("/_embedded/users")?.as_array());
        let (200, Some(body), Some(users)) = (reply.status, &json, users) else {
            let account = notes::troubled(answer::account(reply, json.as_ref()));
            return Page::Unread { account, words: answer::words(reply, json.as_ref()) };
        };
        self.users.extend(users.iter().filter_map(|user| Some((id_of(user.get("id"))?, read(user)))));
        Page::Read { more: body.pointer("/_links/next/href").is_some_and(Value::is_string) }
    }

    /// How this user stands.
    pub fn standing(&self, user: u64) -> Standing {
        match self.users.get(&user) {
            Some(User { is_active: true, .. }) => Standing::Active,
            Some(User { is_active: false, .. }) => Standing::Inactive,
            // A list without anybody is none.
            None if self.is_cut || self.users.is_empty() => Standing::Active,
            None => Standing::Unknown,
        }
    }

    /// Which contacts the token's user may see: a number that belongs to others looks unknown to him.
    pub fn sight(&self) -> Sight {
        self.me.and_then(|me| self.users.get(&me)).map_or(Sight::Unsaid, |user| user.sight)
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

fn read(user: &Value) -> User {
    let right = |name: &str| user.pointer(&format!("/rights/{name}"));
    let is = |name: &str| right(name).and_then(Value::as_bool);
    let sight = match (is("is_admin"), right("contacts/view").and_then(Value::as_str)) {
        (Some(true), _) | (_, Some("A")) => Sight::All,
        (_, Some(_)) => Sight::Part,
        (_, None) => Sight::Unsaid,
    };
    User { is_active: is("is_active").unwrap_or(true), sight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(status: u16, body: &Value) -> Reply {
        Reply { status, body: body.to_string().into_bytes(), ..Reply::default() }
    }

    fn user(id: u64, rights: &Value) -> Value {
        json!({"id": id, "name": "N", "rights": rights})
    }

    #[test]
    fn users_stand_as_the_list_says() {
        let mut roster = Roster::default();
        assert_eq!(roster.standing(1), Standing::Active, "nothing is known yet");
        let body = json!({"_links": {"next": {"href": "x"}}, "_embedded": {"users": [
            user(1, &json!({"is_active": true})), user(2, &json!({"is_active": false})), user(3, &json!({}))]}});
        assert_eq!(roster.take(&reply(200, &body)), Page::Read { more: true });
        assert_eq!(roster.take(&reply(204, &Value::Null)), Page::Read { more: false });
        let standings = [1, 2, 3, 4].map(|user| roster.standing(user));
        assert_eq!(standings, [Standing::Active, Standing::Inactive, Standing::Active, Standing::Unknown]);
        roster.is_cut = true;
        assert_eq!(roster.standing(4), Standing::Active, "he may be on a page that was not read");
    }

    #[test]
    fn whoever_sees_a_part_of_the_contacts_is_told_from_others() {
        let sight = |rights: Value| {
            let mut roster = Roster { me: Some(1), ..Roster::default() };
            roster.take(&reply(200, &json!({"_embedded": {"users": [user(1, &rights)]}})));
            roster.sight()
        };
        assert_eq!(sight(json!({"is_admin": true, "contacts": {"view": "M"}})), Sight::All);
        assert_eq!(sight(json!({"is_admin": false, "contacts": {"view": "A"}})), Sight::All);
        for part in ["G", "M", "D"] {
            assert_eq!(sight(json!({"is_admin": false, "contacts": {"view": part}})), Sight::Part);
        }
        assert_eq!(sight(json!({})), Sight::Unsaid);
        assert_eq!(Roster::default().sight(), Sight::Unsaid);
    }

    #[test]
    fn what_is_no_list_is_not_read() {
        for status in [200, 400, 401, 403, 404, 500] {
            let page = Roster::default().take(&reply(status, &json!({"title": "x"})));
            assert!(matches!(page, Page::Unread { .. }), "{status}");
        }
        assert_eq!(me(&reply(200, &json!({"current_user_id": 5}))), Some(5));
        assert_eq!(me(&reply(200, &json!({}))), None);
    }
}
