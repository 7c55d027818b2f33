//! CDR read as well as the rows allow: one call per outside party of a conversation.
//!
//! A conversation is the closure of rows over their ids, and over channels that two rows have at the
//! same time (so that a consultation on a second line is found). Only who is connected to the party
//! by an answered row, directly or through Local channels, has talked: menus, queues and voicemail
//! have no channel. What no row says stays unknown, and what `billsec` hides stays hidden.

use crate::cdr::conversation::{self, Conversation, Party, Talk, With};
use crate::cdr::{Call, Direction, Disposition, Kind, Pbx, Row, extension, status};

pub fn calls(rows: &[Row], pbx: &Pbx) -> Vec<Call> {
    conversation::split(rows).iter().flat_map(|conversation| calls_of(conversation, pbx)).collect()
}

fn calls_of(conversation: &Conversation<'_>, pbx: &Pbx) -> Vec<Call> {
    let parties = conversation.parties(pbx);
    parties.iter().map(|party| call(conversation, party, &parties)).collect()
}

fn call(conversation: &Conversation<'_>, party: &Party<'_>, parties: &[Party<'_>]) -> Call {
    let talks = conversation.talks(party, parties);
    let rows: Vec<&Row> = conversation.rows_of(&party.legs).collect();
    // A conference of several callers: each has his own rows.
    let around = if parties.len() == 1 { &conversation.rows } else { &rows };
    let rang = rang(conversation, around);
    let called = called(&rang, around);
    let people = people(&talks, &called);
    let start = party.legs.iter().map(|leg| conversation.start(leg)).min().unwrap_or_default();
    let end = rows.iter().map(|row| row.end).max().unwrap_or_default();
    let first_word = talks.iter().map(|talk| talk.from).min();
    Call {
        direction: party.direction,
        phone: party.phone.clone(),
        answered: !talks.is_empty(),
        responsible: responsible(party, &talks, &people, &called),
        status: if talks.is_empty() { status_of(party, &rows, around) } else { status::TALKED },
        talk_seconds: talk_seconds(&talks, &rows),
        bridged_seconds: bridged_seconds(&talks, &rows),
        wait_seconds: first_word.unwrap_or(end) - start,
        answered_by: people,
        rang,
    }
}

/// Extensions whose phones the PBX called, in the order of time.
fn rang(conversation: &Conversation<'_>, rows: &[&Row]) -> Vec<String> {
    let mut rang = Vec::new();
    for row in rows {
        let number = match (&row.channel.kind, row.dstchannel.as_ref().map(|channel| &channel.kind)) {
            (_, Some(Kind::Phone(number))) if was_called(conversation, row, number) => number,
            // Up before anybody answered at the other end: a program called this phone first.
            (Kind::Phone(number), Some(_)) if up_before_answer(row) => number,
            _ => continue,
        };
        if !rang.contains(number) {
            rang.push(number.clone());
        }
    }
    rang
}

fn was_called(conversation: &Conversation<'_>, row: &Row, number: &str) -> bool {
    match row.lastapp.as_str() {
        "Dial" => row.names(number).unwrap_or_else(|| !conversation.is_continued(row)),
        "Queue" | "Stasis" => !conversation.is_continued(row),
        _ => false,
    }
}

fn up_before_answer(row: &Row) -> bool {
    row.answer.is_some() && row.disposition != Disposition::Answered
}

/// Those who rang, and those whose number was called and led elsewhere (forwarded, not registered).
fn called(rang: &[String], rows: &[&Row]) -> Vec<String> {
    let mut called = rang.to_vec();
    let from_outside = |row: &&&Row| row.channel.kind == Kind::Trunk && row.lastapp != "Queue";
    let dialled = rows.iter().filter(from_outside).filter_map(|row| extension(&row.dst));
    let through_local = rows.iter().filter_map(|row| match row.dstchannel.as_ref().map(|dst| &dst.kind) {
        // `101`, or FreePBX's `RG-302-101` and `FMGL-101-79990000101`.
        Some(Kind::Local { exten }) => exten.split('-').find_map(extension),
        _ => None,
    });
    for number in dialled.chain(through_local) {
        if !called.contains(&number) {
            called.push(number);
        }
    }
    called
}

/// Who talked, in the order of the first words. Somebody outside whom the PBX called instead of the
/// only extension in question is that extension's mobile.
fn people(talks: &[Talk<'_>], called: &[String]) -> Vec<String> {
    let mut people: Vec<String> = Vec::new();
    for talk in talks {
        let number = match (talk.with, called) {
            (With::Extension(number), _) => number,
            (With::Outside, [only]) => only,
            (With::Outside | With::OutsideMember, _) => continue,
        };
        if !people.iter().any(|known| known == number) {
            people.push(number.to_owned());
        }
    }
    people
}

fn responsible(
    party: &Party<'_>,
    talks: &[Talk<'_>],
    people: &[String],
    called: &[String],
) -> Option<String> {
    let extensions = talks.iter().filter_map(|talk| match talk.with {
        With::Extension(number) => Some((talk.to, talk.from, number)),
        With::Outside | With::OutsideMember => None,
    });
    let last = extensions.max().map(|(_, _, number)| number.to_owned());
    if let Some(number) = last.or_else(|| people.last().cloned()) {
        return Some(number);
    }
    match (party.dialler, called) {
        (Some(dialler), _) => Some(dialler.to_owned()),
        (None, [only]) if talks.is_empty() => Some(only.clone()),
        (None, _) => None,
    }
}

/// From the first word to the last; of one row, its own `billsec`, which is exacter than its times.
fn talk_seconds(talks: &[Talk<'_>], rows: &[&Row]) -> i64 {
    let from = talks.iter().map(|talk| talk.from).min();
    let to = talks.iter().map(|talk| talk.to).max();
    match (from, to) {
        (Some(from), Some(to)) => billed(from, to, rows).unwrap_or(to - from),
        _ => 0,
    }
}

/// The same without the time in which nobody of ours was on the line.
fn bridged_seconds(talks: &[Talk<'_>], rows: &[&Row]) -> i64 {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for talk in talks {
        match spans.last_mut() {
            Some(last) if talk.from <= last.1 => last.1 = last.1.max(talk.to),
            _ => spans.push((talk.from, talk.to)),
        }
    }
    match spans[..] {
        [(from, to)] => billed(from, to, rows).unwrap_or(to - from),
        _ => spans.iter().map(|(from, to)| to - from).sum(),
    }
}

fn billed(from: i64, to: i64, rows: &[&Row]) -> Option<i64> {
    rows.iter().find(|row| row.answer == Some(from) && row.end == to).map(|row| row.billsec)
}

/// The status of a call without talk.
fn status_of(party: &Party<'_>, rows: &[&Row], around: &[&Row]) -> u8 {
    let cause = |row: &&&Row| row.lastapp == "Hangup" && row.lastdata == "1";
    if around.iter().any(|row| cause(&row)) {
        return status::WRONG_NUMBER;
    }
    if rows.last().is_some_and(|row| row.lastapp == "VoiceMail") {
        return status::MESSAGE_LEFT;
    }
    let tried: Vec<Disposition> =
        around.iter().filter(|row| row.dstchannel.is_some()).map(|row| row.disposition).collect();
    let nobody_called = tried.is_empty() && around.iter().all(|row| row.disposition != Disposition::Answered);
    match party.direction {
        _ if tried.last() == Some(&Disposition::Busy) && !tried.contains(&Disposition::NoAnswer) => {
            status::BUSY
        }
        Direction::Inbound if nobody_called => status::NOT_AVAILABLE,
        Direction::Inbound | Direction::Outbound => status::NOT_REACHED,
    }
}
