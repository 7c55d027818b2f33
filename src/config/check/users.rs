//! On whom calls are booked, and what is made for those who called in vain.

use crate::amo::settings::callback::{Assignee, PLACES, unknown_place};
use crate::amo::settings::{Settings, Text};
use crate::amo::who;
use crate::config::check::Report;
use crate::time::span::Span;

/// Users that are shown; a list of hundreds says nothing on a screen.
const SHOWN_MAX: usize = 20;

pub(super) fn users(place: &str, amo: &Settings, report: &mut Report) {
    for (extension, _) in amo.users.iter().filter(|(_, user)| **user == 0) {
        let advice = "the user's id stands in the address of his page in amoCRM's settings";
        report.fail(place, format!("extension {extension} has the user 0"), advice);
    }
    if amo.default_user == Some(0) {
        report.fail(place, "default-user is 0", "leave it out, or give a user's id");
    }
    if amo.users.is_empty() && amo.default_user.is_none() {
        let advice = "add lines such as 101 = 504141 to its users, or a default-user";
        report.warn(place, "no extension has a user: calls will be nobody's in amoCRM", advice);
    }
    template(place, "extension-text", amo.extension_text.as_ref(), &["extension", "name"], report);
    report.ok(place, booked(amo));
    callback_task(place, amo, report);
}

/// On whom calls are booked, in words.
fn booked(amo: &Settings) -> String {
    let mut users: Vec<String> =
        amo.users.iter().take(SHOWN_MAX).map(|(extension, user)| format!("{extension} = {user}")).collect();
    if amo.users.len() > SHOWN_MAX {
        users.push(format!("{} more", amo.users.len() - SHOWN_MAX));
    }
    users.push(format!("any other extension = {}", others(amo)));
    format!("calls are booked on: {}", users.join(", "))
}

/// What stands for an extension without a user.
fn others(amo: &Settings) -> String {
    let text = who::text("NNN", amo, amo.language);
    match (amo.default_user, text) {
        (Some(user), Some(text)) => format!("{user}, \"{text}\" in the call's result"),
        (Some(user), None) => user.to_string(),
        (None, Some(text)) => format!("nobody, shown as \"{text}\""),
        (None, None) => "nobody".to_owned(),
    }
}

fn callback_task(place: &str, amo: &Settings, report: &mut Report) {
    let task = &amo.callback_task;
    template(place, "text of callback-task", task.text.as_ref(), &PLACES, report);
    template(place, "result of callback-task", task.result.as_ref(), &PLACES, report);
    if task.kind == 0 || task.responsible == Assignee::User(0) {
        let advice = "1 is the call of every account; a user's id stands in the address of his page";
        report.fail(place, "kind or responsible of callback-task is 0", advice);
    }
    if task.deadline == Span::default() {
        report.fail(place, "deadline of callback-task is 0s", "give the time to call back, such as \"1h\"");
    }
    if task.make {
        let whose = match task.responsible {
            Assignee::Owner => "of its contact's owner".to_owned(),
            Assignee::Call => "of the user whom it is booked on".to_owned(),
            Assignee::User(user) => format!("of the user {user}"),
        };
        report.ok(place, format!("a missed call makes a task {whose}, due in {}", task.deadline));
    }
}

fn template(place: &str, key: &str, text: Option<&Text>, known: &[&str], report: &mut Report) {
    let Some(unknown) = text.and_then(|text| unknown_place(text.as_str(), known)) else { return };
    let known = known.iter().map(|place| format!("{{{place}}}")).collect::<Vec<_>>().join(", ");
    let advice = format!("these stand for what they say: {known}");
    report.fail(place, format!("{key} has {{{unknown}}}, which stands for nothing"), advice);
}
