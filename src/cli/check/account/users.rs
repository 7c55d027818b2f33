//! Pure: the map of users beside the people of the account and the extensions of the PBXs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::amo::people::{Person, Proposal, is_extension, propose};
use crate::amo::settings::Settings;
use crate::config::check::Grade;
use crate::ops::screen::clean;
use crate::ops::words::Language;

/// A grade, a text, and what to do.
type Told = (Grade, String, String);

/// People of one comparison.
struct Desk<'a> {
    amo: &'a Settings,
    /// The name of the table: `[amocrm]`.
    place: &'a str,
    people: BTreeMap<u64, &'a Person>,
    language: Language,
    told: Vec<Told>,
}

/// Users without an extension that are listed below a map; more belong to no telephone.
const OTHERS_MAX: usize = 50;

pub(super) fn compare(
    amo: &Settings,
    place: &str,
    people: &[Person],
    extensions: &BTreeSet<String>,
    language: Language,
) -> Vec<Told> {
    let by_id = people.iter().map(|person| (person.id, person)).collect();
    let mut desk = Desk { amo, place, people: by_id, language, told: Vec::new() };
    desk.strangers();
    desk.shared();
    desk.without_user(extensions);
    let asked: BTreeSet<String> =
        extensions.iter().filter(|extension| !amo.users.contains_key(*extension)).cloned().collect();
    let proposal = propose(people, &extensions.iter().chain(amo.users.keys()).cloned().collect());
    desk.claimed_twice(&proposal);
    desk.propose(&proposal, &asked);
    desk.told
}

impl Desk<'_> {
    fn say(&mut self, grade: Grade, text: (String, String), advice: (String, String)) {
        self.told.push((grade, self.language.pick(text.0, text.1), self.language.pick(advice.0, advice.1)));
    }

    /// `504141 (Anna)`
    fn name(&self, user: u64) -> String {
        match self.people.get(&user) {
            Some(person) => format!("{user} ({})", clean(&person.name)),
            None => user.to_string(),
        }
    }

    /// Ids of the configuration that amoCRM will refuse.
    fn strangers(&mut self) {
        let mapped = self.amo.users.iter().map(|(extension, user)| (format!("{extension} = {user}"), *user));
        let default = self.amo.default_user.map(|user| (format!("default-user = {user}"), user));
        let mut fine = 0;
        for (line, user) in mapped.chain(default).collect::<Vec<_>>() {
            let place = self.place.trim_matches(['[', ']']).to_owned();
            let advice = (
                format!(
                    "change `{line}` of {place}: calls that name him are refused, and posted without him"
                ),
                format!("исправьте `{line}` в {place}: звонки с ним не принимаются и уходят без него"),
            );
            match self.people.get(&user) {
                Some(person) if person.is_active => fine += 1,
                Some(_) => {
                    let name = self.name(user);
                    let text = (
                        format!("`{line}`: user {name} is switched off"),
                        format!("`{line}`: пользователь {name} отключён"),
                    );
                    self.say(Grade::Warn, text, advice);
                }
                None if self.people.is_empty() => {}
                None => {
                    let text = (
                        format!("`{line}`: amoCRM has no such user"),
                        format!("`{line}`: такого пользователя нет"),
                    );
                    self.say(Grade::Warn, text, advice);
                }
            }
        }
        if fine > 0 {
            let text = (
                format!("{fine} lines name users that are there"),
                format!("строк с действующими пользователями: {fine}"),
            );
            self.say(Grade::Ok, text, (String::new(), String::new()));
        }
    }

    /// Two extensions on one user.
    fn shared(&mut self) {
        let mut by_user: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for (extension, user) in &self.amo.users {
            by_user.entry(*user).or_default().push(extension);
        }
        let shared: Vec<_> = by_user.into_iter().filter(|(_, extensions)| extensions.len() > 1).collect();
        for (user, extensions) in shared {
            let (name, extensions) = (self.name(user), extensions.join(", "));
            let text = (
                format!("extensions {extensions} are all of user {name}"),
                format!("номера {extensions} — все на пользователе {name}"),
            );
            let advice = (
                "leave it where he has several telephones; else give each colleague his own line".to_owned(),
                "оставьте, если у него несколько телефонов; иначе дайте каждому свою строку".to_owned(),
            );
            self.say(Grade::Warn, text, advice);
        }
    }

    /// Extensions of the PBX that no line names.
    fn without_user(&mut self, extensions: &BTreeSet<String>) {
        let missing: Vec<&str> = extensions
            .iter()
            .filter(|extension| !self.amo.users.contains_key(*extension))
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return;
        }
        let missing = missing.join(", ");
        let (onto, auf) = match self.amo.default_user {
            Some(user) => {
                let name = self.name(user);
                (format!("their calls are booked on {name}"), format!("их звонки записываются на {name}"))
            }
            None => ("their calls are nobody's".to_owned(), "их звонки ничьи".to_owned()),
        };
        let place = self.place.trim_matches(['[', ']']);
        let text = (
            format!("the PBX has extensions without a user: {missing}; {onto}"),
            format!("на АТС есть номера без пользователя: {missing}; {auf}"),
        );
        let advice = (
            format!("add `EXTENSION = USER` for each to the users of {place}"),
            format!("добавьте для каждого `НОМЕР = ПОЛЬЗОВАТЕЛЬ` в users таблицы {place}"),
        );
        self.say(Grade::Warn, text, advice);
    }

    /// Extensions that two users have by their entries in amoCRM.
    fn claimed_twice(&mut self, proposal: &Proposal) {
        for (extension, users) in proposal.doubtful.iter().filter(|(_, users)| users.len() > 1) {
            let names: Vec<_> = users.iter().map(|user| self.name(*user)).collect();
            let names = names.join(", ");
            let text = (
                format!("extension {extension} is in the entries of several users: {names}"),
                format!("номер {extension} указан у нескольких пользователей: {names}"),
            );
            let advice = (
                "correct their entries in amoCRM, or name one in the map".to_owned(),
                "исправьте их карточки в amoCRM или назовите одного в карте".to_owned(),
            );
            self.say(Grade::Warn, text, advice);
        }
    }

    /// A map that can be copied, where there is something to add.
    fn propose(&mut self, proposal: &Proposal, asked: &BTreeSet<String>) {
        let unmapped =
            |person: &&&Person| person.is_active && !self.amo.users.values().any(|user| *user == person.id);
        let others: Vec<&Person> = self.people.values().filter(unmapped).copied().collect();
        if asked.is_empty() && (others.is_empty() || !self.amo.users.is_empty()) {
            return;
        }
        let map = self.map(proposal, &others);
        let certain = proposal.certain.keys().filter(|extension| asked.contains(*extension)).count();
        let text = (
            format!("a map of users is ready, with {certain} new lines that are certain"),
            format!("карта пользователей готова, новых бесспорных строк: {certain}"),
        );
        self.say(Grade::Ok, text, (map.clone(), map));
    }

    fn map(&self, proposal: &Proposal, others: &[&Person]) -> String {
        // The tables of other accounts are of an array: the last one is meant.
        let table = if self.place == "[amocrm]" { "[amocrm.users]" } else { "[account.users]" };
        let mut map = table.to_owned();
        let mut lines: BTreeMap<&str, u64> =
            proposal.certain.iter().map(|(extension, user)| (extension.as_str(), *user)).collect();
        lines.extend(self.amo.users.iter().map(|(extension, user)| (extension.as_str(), *user)));
        for (extension, user) in &lines {
            let name = self.people.get(user).map(|person| clean(&person.name)).unwrap_or_default();
            let key =
                if is_extension(extension) { (*extension).to_owned() } else { format!("{extension:?}") };
            let written = write!(map, "\n{key} = {user}  # {name}");
            written.expect("a string takes everything");
        }
        let left = others.iter().filter(|person| !lines.values().any(|user| *user == person.id));
        for person in left.take(OTHERS_MAX) {
            let written = write!(map, "\n# EXTENSION = {}  # {}", person.id, clean(&person.name));
            written.expect("a string takes everything");
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: u64, name: &str, is_active: bool) -> Person {
        Person { id, name: name.to_owned(), is_active, ..Person::default() }
    }

    fn compared(settings: &str, people: &[Person], extensions: &[&str]) -> Vec<Told> {
        let amo: Settings = toml::from_str(settings).unwrap();
        let extensions = extensions.iter().map(|extension| (*extension).to_owned()).collect();
        compare(&amo, "[amocrm]", people, &extensions, Language::En)
    }

    #[track_caller]
    fn check(told: &[Told], grade: Grade, words: &str) {
        assert!(told.iter().any(|(of, text, _)| *of == grade && text.contains(words)), "{words}: {told:#?}");
    }

    #[test]
    fn a_map_is_held_against_the_people() {
        let people = [person(1, "Anna", true), person(2, "Boris", false)];
        let told = compared("users = { 101 = 1, 102 = 2, 103 = 3, 104 = 1 }", &people, &["101", "105"]);
        check(&told, Grade::Warn, "`102 = 2`: user 2 (Boris) is switched off");
        check(&told, Grade::Warn, "`103 = 3`: amoCRM has no such user");
        check(&told, Grade::Warn, "extensions 101, 104 are all of user 1 (Anna)");
        check(&told, Grade::Warn, "extensions without a user: 105; their calls are nobody's");
    }

    #[test]
    fn a_map_is_proposed_that_can_be_copied() {
        let people = [
            person(1, "Anna 101", true),
            person(2, "Boris", true),
            person(3, "Vera 102", true),
            person(4, "Gena 102", true),
        ];
        let told = compared("default-user = 2", &people, &["101", "102"]);
        check(
            &told,
            Grade::Warn,
            "extension 102 is in the entries of several users: 3 (Vera 102), 4 (Gena 102)",
        );
        let (_, _, map) = told.last().unwrap();
        assert_eq!(
            map,
            "[amocrm.users]\n101 = 1  # Anna 101\n# EXTENSION = 2  # Boris\n# EXTENSION = 3  # Vera 102\n\
             # EXTENSION = 4  # Gena 102"
        );
        toml::from_str::<toml::Table>(map).unwrap();
    }

    #[test]
    fn where_all_is_mapped_there_is_nothing_to_say() {
        let told =
            compared("users = { 101 = 1 }", &[person(1, "Anna", true), person(2, "Boris", true)], &["101"]);
        assert!(told.len() == 1 && told[0].0 == Grade::Ok, "{told:#?}");
    }
}
