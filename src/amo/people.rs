//! Pure: the people of an account as its list of users shows them, and which of them an extension's user can only
//! be. Nothing is guessed: what fits two is told as such.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::amo::answer::{self, Account, Reply, id_of};
use crate::amo::notes;
use crate::amo::users::PAGE_MAX;

/// Somebody with an entry in the account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Person {
    pub id: u64,
    pub name: String,
    pub email: String,
    /// The telephone of the profile, which is seldom filled in.
    pub phone: String,
    pub is_active: bool,
    pub is_admin: bool,
    /// Which contacts may be seen and changed: `A` all, others fewer; empty where it is not said.
    pub sees: String,
    pub changes: String,
}

/// What one page of the list said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Page {
    Read { people: Vec<Person>, more: bool },
    Unread { account: Account, words: String },
}

/// Extensions and the users that they can only be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proposal {
    /// One user fits the extension, and it alone fits him.
    pub certain: BTreeMap<String, u64>,
    /// Several users fit.
    pub doubtful: BTreeMap<String, Vec<u64>>,
    /// Nobody fits.
    pub nobody: Vec<String>,
}

/// Digits of an extension; longer numbers are those of the public network.
const EXTENSION_DIGITS: std::ops::RangeInclusive<usize> = 2..=6;

/// The path and query of one page of the list, counted from 1.
pub fn path(page: u32) -> String {
    format!("/api/v4/users?with=phone_number&limit={PAGE_MAX}&page={page}")
}

/// Reads one page.
pub fn read(reply: &Reply) -> Page {
    if reply.status == 204 {
        return Page::Read { people: Vec::new(), more: false };
    }
    let json = answer::json_object(&reply.body);
    let users = json.as_ref().and_then(|body| body.pointer("/_embedded/users")?.as_array());
    let (200, Some(body), Some(users)) = (reply.status, &json, users) else {
        let account = notes::troubled(answer::account(reply, json.as_ref()));
        return Page::Unread { account, words: answer::words(reply, json.as_ref()) };
    };
    let more = body.pointer("/_links/next/href").is_some_and(Value::is_string);
    Page::Read { people: users.iter().filter_map(person).collect(), more }
}

fn person(user: &Value) -> Option<Person> {
    let text =
        |place: &str| user.pointer(place).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    let is = |place: &str, default: bool| user.pointer(place).and_then(Value::as_bool).unwrap_or(default);
    let phone = match user.get("phone_number") {
        Some(Value::Number(number)) => number.to_string(),
        _ => text("/phone_number"),
    };
    Some(Person {
        id: id_of(user.get("id"))?,
        name: text("/name"),
        email: text("/email"),
        phone,
        is_active: is("/rights/is_active", true),
        is_admin: is("/rights/is_admin", false),
        sees: text("/rights/contacts/view"),
        changes: text("/rights/contacts/edit"),
    })
}

/// Whether a text is an extension's number and no more.
pub fn is_extension(text: &str) -> bool {
    EXTENSION_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Which user each extension can only be.
pub fn propose(people: &[Person], extensions: &BTreeSet<String>) -> Proposal {
    let active = || people.iter().filter(|person| person.is_active);
    let fitting = |extension: &String| -> Vec<u64> {
        active().filter(|person| fits(person, extension)).map(|person| person.id).collect()
    };
    let fits: BTreeMap<&String, Vec<u64>> =
        extensions.iter().map(|extension| (extension, fitting(extension))).collect();
    let mut proposal = Proposal::default();
    for (extension, users) in &fits {
        match users.as_slice() {
            [] => proposal.nobody.push((*extension).clone()),
            [user] if fits.values().filter(|others| others.contains(user)).count() == 1 => {
                proposal.certain.insert((*extension).clone(), *user);
            }
            users => {
                proposal.doubtful.insert((*extension).clone(), users.to_vec());
            }
        }
    }
    proposal
}

/// The profile's telephone is the extension, or the name or the mailbox has it as a number of its own.
fn fits(person: &Person, extension: &str) -> bool {
    let mailbox = person.email.split('@').next().unwrap_or_default();
    person.phone == extension || has_number(&person.name, extension) || has_number(mailbox, extension)
}

fn has_number(text: &str, number: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(id: u64, name: &str, email: &str, phone: &str) -> Person {
        Person {
            id,
            name: name.to_owned(),
            email: email.to_owned(),
            phone: phone.to_owned(),
            is_active: true,
            ..Person::default()
        }
    }

    fn extensions(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|extension| (*extension).to_owned()).collect()
    }

    #[test]
    fn an_extension_is_a_users_by_name_mailbox_or_telephone() {
        let people = [
            named(1, "Иванова Анна (101)", "a@example.org", ""),
            named(2, "Petrov", "ext102@example.org", ""),
            named(3, "Sidorov", "s@example.org", "103"),
            named(4, "Room 1104", "r@example.org", "79161234104"),
        ];
        let proposal = propose(&people, &extensions(&["101", "102", "103", "104"]));
        let certain =
            [("101", 1), ("102", 2), ("103", 3)].map(|(extension, user)| (extension.to_owned(), user));
        assert_eq!(proposal.certain, BTreeMap::from(certain));
        assert_eq!(proposal.nobody, ["104"], "a number within another is none");
    }

    #[test]
    fn what_fits_two_is_not_proposed() {
        let people =
            [named(1, "Anna 101", "", ""), named(2, "Boris 101", "", ""), named(3, "Vera 102, 103", "", "")];
        let proposal = propose(&people, &extensions(&["101", "102", "103"]));
        assert!(proposal.certain.is_empty(), "{proposal:?}");
        assert_eq!(proposal.doubtful["101"], [1, 2]);
        assert_eq!(proposal.doubtful["102"], [3]);
    }

    #[test]
    fn who_has_left_is_proposed_for_nothing() {
        let gone = Person { is_active: false, ..named(1, "Anna 101", "", "") };
        assert_eq!(propose(&[gone], &extensions(&["101"])).nobody, ["101"]);
    }

    #[test]
    fn a_page_shows_people_and_their_rights() {
        let body = json!({"_embedded": {"users": [
            {"id": 7, "name": " Anna ", "email": "a@b", "phone_number": 101,
                "rights": {"is_admin": true, "is_active": false, "contacts": {"view": "A", "edit": "M"}}}, {"id": "x"}, null]}});
        let reply =
            |status, body: &Value| Reply { status, body: body.to_string().into_bytes(), ..Reply::default() };
        let anna = Person {
            is_active: false,
            is_admin: true,
            sees: "A".to_owned(),
            changes: "M".to_owned(),
            ..named(7, "Anna", "a@b", "101")
        };
        assert_eq!(read(&reply(200, &body)), Page::Read { people: vec![anna], more: false });
        assert!(matches!(
            read(&reply(403, &json!({"title": "x"}))),
            Page::Unread { account: Account::Forbidden, .. }
        ));
    }
}
