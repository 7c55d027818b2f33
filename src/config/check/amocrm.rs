//! The `[amocrm]` table and the `[[account]]` tables: where calls go, in whose name, and with which token.

use std::path::Path;

use crate::amo::client::{TOKEN_VARIABLE, trust};
use crate::amo::settings::oauth::OAuth;
use crate::amo::settings::unknown::Unknown;
use crate::amo::settings::{self, Settings as Amo};
use crate::amo::token::{self, Token};
use crate::call::id::AccountId;
use crate::call::line;
use crate::config::check::{Report, is_absolute, recordings, unreadable, users};
use crate::config::surroundings::Surroundings;
use crate::time::span::Span;

/// The default account and the others.
pub(super) fn all(default: &Amo, others: &[Amo], surroundings: &impl Surroundings, report: &mut Report) {
    const PLACE: &str = "[amocrm]";
    if default.name != AccountId::default() {
        let advice = "leave it out; further accounts are [[account]] tables";
        report.fail(PLACE, format!("its name is always \"{}\"", AccountId::default()), advice);
    }
    let variable = surroundings.variable(TOKEN_VARIABLE);
    table(PLACE, default, variable.as_deref(), surroundings, report);
    for (at, account) in others.iter().enumerate() {
        let place = format!("[[account]] \"{}\"", account.name);
        if account.name == AccountId::default() {
            let advice = "add a name of its own; the account without one is [amocrm]";
            report.fail(&place, "it has no name, or that of [amocrm]", advice);
        }
        if others[..at].iter().any(|other| other.name == account.name) {
            let advice = "calls wait for their account by its name: give each its own";
            report.fail(&place, "two accounts have this name", advice);
        }
        table(&place, account, None, surroundings, report);
    }
}

/// `variable` is the token of the environment, which is that of `[amocrm]` only.
fn table(
    place: &str,
    amo: &Amo,
    variable: Option<&str>,
    surroundings: &impl Surroundings,
    report: &mut Report,
) {
    match amo.check() {
        Ok(url) => {
            let rate = amo.requests_per_second;
            report.ok(place, format!("{url}, at most {rate} requests a second, {} users", amo.users.len()));
        }
        // They have checks of their own, which know where they come from.
        Err(settings::Error::Token(_) | settings::Error::ClientSecret(_)) => {}
        Err(error) => report.fail(place, chain(&error), ""),
    }
    token(place, amo, variable, surroundings, report);
    reach(place, amo, surroundings, report);
    shadow(place, amo, report);
    unknown(place, &amo.unknown, report);
    recordings::table(place, amo, surroundings, report);
    users::users(place, amo, report);
}

fn shadow(place: &str, amo: &Amo, report: &mut Report) {
    if amo.is_shadow() {
        let advice =
            "`ami2amo shadow` shows how calls compare; delivery = \"post\" posts them: docs/shadow.md";
        report.warn(place, "delivery is \"shadow\": nothing is posted to this account", advice);
    }
    if amo.compare_after == Span::default() {
        let advice =
            "leave it out, or name some minutes, as \"10m\": others write their notes after the call";
        report.fail(place, "compare-after is 0s", advice);
    }
}

fn unknown(place: &str, unknown: &Unknown, report: &mut Report) {
    if unknown.outbound == line::Unknown::Unsorted {
        let advice = "take \"park\", \"contact\", \"lead\" or \"drop\": Incoming leads are for calls to us";
        report.fail(place, "outbound of unknown is \"unsorted\"", advice);
    }
    if unknown.without_unsorted == line::Unknown::Unsorted {
        let advice = "take \"park\", \"contact\", \"lead\" or \"drop\"";
        report.fail(place, "without-unsorted of unknown is \"unsorted\"", advice);
    }
    if [unknown.pipeline, unknown.stage].contains(&Some(0)) {
        let advice = "their ids stand in the addresses of amoCRM's pages";
        report.fail(place, "pipeline or stage of unknown is 0", advice);
    }
    if unknown.stage.is_some() && unknown.pipeline.is_none() {
        report.fail(
            place,
            "unknown has a stage without a pipeline",
            "a stage is one of a pipeline: name both",
        );
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn token(
    place: &str,
    amo: &Amo,
    variable: Option<&str>,
    surroundings: &impl Surroundings,
    report: &mut Report,
) {
    let advice = "a long-lived token is made in amoCRM, in the integration's keys and access";
    if let (Some(app), None) = (&amo.oauth, surroundings.variable(TOKEN_VARIABLE)) {
        return oauth(place, app, surroundings, report);
    }
    // It must be one even where the variable goes before it.
    if let Some(Err(error)) = amo.token.as_ref().map(token::Secret::token) {
        return report.fail(place, format!("the token from the configuration: {error}"), advice);
    }
    let (token, source) = match (variable, &amo.token_file, &amo.token) {
        (Some(value), _, _) => (Token::parse(value).map(drop), TOKEN_VARIABLE.to_owned()),
        (None, Some(path), _) => {
            let Some(text) = file_secret(place, "token-file", path, surroundings, report) else { return };
            (Token::parse(&text).map(drop), path.display().to_string())
        }
        (None, None, Some(_)) => (Ok(()), "the configuration".to_owned()),
        (None, None, None) => {
            let or =
                if amo.name == AccountId::default() { format!(", {TOKEN_VARIABLE}") } else { String::new() };
            let text = format!("the token is missing: set token-file{or}, or make its oauth table");
            return report.fail(place, text, advice);
        }
    };
    match token {
        Ok(()) => report.ok(place, format!("token from {source}")),
        Err(error) => report.fail(place, format!("the token from {source}: {error}"), advice),
    }
}

/// The secret key of an integration; its tokens are for `ami2amo auth` to show.
fn oauth(place: &str, app: &OAuth, surroundings: &impl Surroundings, report: &mut Report) {
    let advice = "it stands in amoCRM, in the integration's keys and access";
    let (secret, source) = match (&app.client_secret, &app.client_secret_file) {
        (Some(secret), _) => (secret.token().map(drop), "the configuration".to_owned()),
        (None, Some(path)) => {
            let Some(text) = file_secret(place, "client-secret-file", path, surroundings, report) else {
                return;
            };
            (Token::parse(&text).map(drop), path.display().to_string())
        }
        (None, None) => return, // told with the rest of the table
    };
    match secret {
        Ok(()) => {
            report.ok(place, format!("integration {}, secret key from {source}", app.client_id.as_str()));
        }
        Err(error) => report.fail(place, format!("the secret key from {source}: {error}"), advice),
    }
}

/// What amoCRM is reached by besides address and token.
fn reach(place: &str, amo: &Amo, surroundings: &impl Surroundings, report: &mut Report) {
    let Some(path) = &amo.ca_file else { return };
    if !is_absolute(place, "ca-file", path, report) {
        return;
    }
    match surroundings.read(path).map(|pem| trust::authorities(&pem)) {
        Ok(Ok(authorities)) => report.ok(place, format!("ca-file has {} certificates", authorities.len())),
        Ok(Err(reason)) => {
            let advice = "it must hold certificates of authorities in PEM form";
            report.fail(place, format!("ca-file {}: {reason}", path.display()), advice);
        }
        Err(error) => unreadable(place, "ca-file", path, &error, surroundings, report),
    }
}

fn file_secret(
    place: &str,
    key: &str,
    path: &Path,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<String> {
    is_absolute(place, key, path, report).then_some(())?;
    match surroundings.read(path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            unreadable(place, key, path, &error, surroundings, report);
            None
        }
    }
}
