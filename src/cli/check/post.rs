//! `ami2amo check --post NUMBER`: one call of no length to one contact that a person has named. It is the only
//! question that shows whether calls may be posted, and the only one of `check` that changes something.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use tokio::runtime::Builder;

use crate::amo::answer::{self, Answer, Fate, Reply};
use crate::amo::calls::{Entry, batch_json};
use crate::amo::client::{Client, Looked};
use crate::amo::settings::Settings;
use crate::call::id::AccountId;
use crate::cli::Usage;
use crate::cli::check::account;
use crate::clock;
use crate::config;
use crate::config::surroundings::Host;
use crate::ops::screen::clean;
use crate::ops::words::Language;

/// What the call's id begins with, by which it is told from a real one.
const UNIQ: &str = "ami2amo-check";
/// amoCRM's status for "no answer".
const NO_ANSWER: u8 = 6;
/// Longest answer that is shown, in characters.
const SHOWN_MAX: usize = 2000;
/// Fewest digits by which amoCRM finds a contact for certain.
const DIGITS_MIN: usize = 10;

/// Posts the call and prints what amoCRM says.
///
/// # Errors
/// When the configuration cannot be read, the number is not exactly one contact's, or no answer came.
pub(super) fn run(
    number: &str,
    account: Option<&AccountId>,
    config: &Path,
    language: Language,
) -> anyhow::Result<ExitCode> {
    let file = config::read(config, &Host::Look)?;
    let mut accounts = std::iter::once(&file.amocrm).chain(&file.account);
    let wanted = account.cloned().unwrap_or_default();
    let amo = accounts.find(|amo| amo.name == wanted);
    let amo = amo.with_context(|| format!("the configuration has no account {wanted}"))?;
    let number = international(number)?;
    if amo.is_shadow() {
        bail!("nothing was posted: delivery = \"shadow\" of account {wanted} posts nothing");
    }
    let (client, _) = account::connect(amo, &file.store.dir).map_err(|words| anyhow!(words))?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let posted = runtime.block_on(post(&client, &number, amo));
    runtime.shutdown_background();
    let (contact, entry, reply) = posted?;
    let answer = answer::read(&reply, std::slice::from_ref(&entry.request_id));
    let lines = page(contact, &entry, &reply, &answer, language);
    let mut output = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(output, "{line}")).context("cannot print")?;
    output.flush().context("cannot print")?;
    let is_stored = matches!(answer.fates.as_slice(), [Fate::Stored { .. }]);
    Ok(if is_stored { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The number with its digits alone; a local form might be somebody else's.
fn international(number: &str) -> anyhow::Result<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    if !number.starts_with('+') || digits.len() < DIGITS_MIN {
        bail!(Usage(format!(
            "--post takes a whole international number, such as +79161234567, and not {number:?}"
        )));
    }
    Ok(format!("+{digits}"))
}

async fn post(client: &Client, number: &str, amo: &Settings) -> anyhow::Result<(u64, Entry, Reply)> {
    let found = match client.find_contacts(number).await {
        Looked::Found(found) => found,
        Looked::Refused { words, .. } | Looked::Unreadable(words) => {
            bail!("amoCRM does not tell whose {number} is: {words}")
        }
        Looked::Failed(failure) => bail!("amoCRM does not tell whose {number} is: {failure}"),
    };
    let contact = match found.as_slice() {
        [contact] => contact.id,
        [] => bail!("nothing was posted: no contact has the number {number}; name one that is there"),
        several => bail!(
            "nothing was posted: {} contacts have the number {number} ({}); name a number of one contact",
            several.len(),
            several.iter().map(|contact| contact.id.to_string()).collect::<Vec<_>>().join(", ")
        ),
    };
    let entry = entry(number, amo);
    let reply = client.post_calls(batch_json(std::slice::from_ref(&entry))).await;
    let reply = reply.map_err(|failure| {
        anyhow!("no answer to the call for contact {contact}; it may be stored: {failure}")
    })?;
    Ok((contact, entry, reply))
}

fn entry(phone: &str, amo: &Settings) -> Entry {
    let now = clock::host().seconds();
    Entry {
        direction: "inbound",
        uniq: format!("{UNIQ}-{now}"),
        duration: 0,
        source: amo.source.as_str().to_owned(),
        link: None,
        phone: phone.to_owned(),
        call_responsible: None,
        call_result: Some("ami2amo check --post".to_owned()),
        call_status: Some(NO_ANSWER),
        responsible_user_id: None,
        created_by: None,
        created_at: Some(now),
        request_id: "0".to_owned(),
    }
}

fn page(contact: u64, entry: &Entry, reply: &Reply, answer: &Answer, language: Language) -> Vec<String> {
    let Entry { phone, uniq, .. } = entry;
    let said: String = clean(&String::from_utf8_lossy(&reply.body)).chars().take(SHOWN_MAX).collect();
    let mut lines = vec![
        language.pick(
            format!("posted one inbound call of 0 seconds, not answered, to contact {contact} ({phone}), uniq {uniq}"),
            format!("отправлен один входящий звонок, 0 секунд, без ответа: контакт {contact} ({phone}), uniq {uniq}"),
        ),
        language.pick(format!("amoCRM answered HTTP {}: {said}", reply.status), format!("amoCRM ответила HTTP {}: {said}", reply.status)),
    ];
    lines.push(if let Some(Fate::Stored { note_id, entity }) = answer.fates.first() {
        let note = note_id.map_or_else(|| "?".to_owned(), |id| id.to_string());
        let on = entity.as_ref().map(|entity| format!("{} {}", entity.kind, entity.id)).unwrap_or_default();
        language.pick(
            format!("it is stored as note {note} on {on}: calls can be posted. Delete the note in amoCRM by hand"),
            format!(
                "он записан примечанием {note} ({on}): звонки отправляются. Удалите примечание в amoCRM вручную"
            ),
        )
    } else {
        let words = clean(&answer.words);
        language.pick(format!("it is not stored: {words}"), format!("он не записан: {words}"))
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_number_is_posted_to() {
        assert_eq!(international("+7 (916) 123-45-67").unwrap(), "+79161234567");
        for number in ["89161234567", "101", "+7916", ""] {
            assert!(international(number).is_err(), "{number}");
        }
    }
}
