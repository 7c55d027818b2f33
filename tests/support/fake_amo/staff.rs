//! Who works in the account, and whose its contacts are.

use serde_json::{Value, json};

use super::api::{self, HAL, Query, Reply, problem};
use super::{Asked, Known, Note, State, id_of, last_ten};

/// The people, beside the ids in [`Options::users`](super::Options::users).
#[derive(Clone, Debug)]
pub struct Staff {
    /// Users that are switched off: no call may name them.
    pub inactive: Vec<u64>,
    /// Which contacts the token's user may see: `A` all, `G`, `M` or `D` fewer. `A` is an administrator.
    pub sees: &'static str,
    /// Whose the contacts and companies with these numbers are.
    pub owners: Vec<(String, u64)>,
    /// Names and mailboxes of users; others are called by their ids.
    pub names: Vec<(u64, &'static str, &'static str)>,
    /// A text in place of a user is taken for a name, and nobody has it.
    pub refuses_text: bool,
}

impl Default for Staff {
    fn default() -> Self {
        Self { inactive: Vec::new(), sees: "A", owners: Vec::new(), names: Vec::new(), refuses_text: false }
    }
}

/// The user whose token it is.
pub const ME: u64 = 504_141;

impl State {
    pub(super) fn owner(&self, number: &str) -> Option<u64> {
        let digits = last_ten(number);
        let owner = self.options.staff.owners.iter().find(|(owned, _)| last_ten(owned) == digits);
        owner.map(|(_, user)| *user)
    }

    /// Numbers that somebody has, and the kind of whoever that is.
    fn numbers(&self) -> Vec<(String, &'static str)> {
        match &self.options.known {
            Known::Only(known) => known.clone(),
            Known::Everyone => {
                let owned = self.options.staff.owners.iter();
                owned.map(|(number, _)| (last_ten(number), "contact")).collect()
            }
        }
    }

    /// What is found by a search for `wanted` among the contacts or companies that were there before.
    pub(super) fn search(&self, kind: &str, wanted: &str) -> Vec<Value> {
        let is_found = |(number, of): &&(String, &'static str)| *of == kind && number.contains(wanted);
        let numbers = self.numbers();
        numbers.iter().filter(is_found).map(|(number, _)| self.entity(id_of(number), number)).collect()
    }

    fn entity(&self, id: u64, number: &str) -> Value {
        let owner = self.owner(number).unwrap_or(ME);
        json!({"id": id, "name": number, "responsible_user_id": owner,
            "custom_fields_values": [{"field_id": 3, "field_code": "PHONE",
                "values": [{"value": format!("8{number}"), "enum_code": "WORK"}]}]})
    }
}

/// `GET /api/v4/users`: for administrators; of an account that takes any id nobody may know more.
pub fn users(state: &State, asked: &Asked) -> Reply {
    let Some(users) = &state.options.users else {
        return problem(403, "Forbidden", "Недостаточно прав");
    };
    let staff = &state.options.staff;
    let user = |id: &u64, is_active: bool| {
        let sees = if *id == ME { staff.sees } else { "A" };
        let named = staff.names.iter().find(|(named, _, _)| named == id);
        let name = named.map_or_else(|| format!("User {id}"), |(_, name, _)| (*name).to_owned());
        let email = named.map_or("u@example.org", |(_, _, email)| *email);
        json!({"id": id, "name": name, "email": email,
            "rights": {"contacts": {"view": sees, "edit": "A"}, "is_admin": sees == "A", "is_active": is_active}})
    };
    let active = users.iter().filter(|id| !staff.inactive.contains(id)).map(|id| user(id, true));
    let all: Vec<Value> = active.chain(staff.inactive.iter().map(|id| user(id, false))).collect();
    paged(state, asked, "users", &all)
}

/// `GET /api/v4/companies?query=…`
pub fn search_companies(state: &State, asked: &Asked) -> Reply {
    let query = Query::of(asked.uri.query().unwrap_or_default());
    let found = state.search("company", query.first("query").unwrap_or_default());
    paged(state, asked, "companies", &found)
}

/// `GET /api/v4/contacts/7` and the like.
pub fn entity(state: &State, kind: &str, id: u64) -> Reply {
    let is_it = |note: &&Note| note.entity_kind == kind && note.entity_id == id;
    match state.notes.iter().find(is_it) {
        Some(note) => api::json_answer(200, &state.entity(id, &last_ten(note.phone()))),
        None => problem(404, "Not Found", "Entity not found"),
    }
}

/// A page of a list.
pub fn paged(state: &State, asked: &Asked, list: &str, all: &[Value]) -> Reply {
    let query = Query::of(asked.uri.query().unwrap_or_default());
    let page = query.number("page").unwrap_or(1).max(1);
    let limit = query.number("limit").unwrap_or(50).clamp(1, state.options.page_max);
    let shown: Vec<&Value> = all.iter().skip((page - 1) * limit).take(limit).collect();
    if shown.is_empty() {
        return Reply::Answer(204, HAL, Vec::new());
    }
    let mut links = json!({"self": {"href": "self"}});
    if all.len() > page * limit {
        links["next"] = json!({"href": format!("http://fake/?page={}", page + 1)});
    }
    api::json_answer(200, &json!({"_page": page, "_links": links, "_embedded": {list: shown}}))
}
