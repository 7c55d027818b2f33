//! What goes wrong with CDR, each with the rows of one capture.

use std::fmt::Write as _;

use serde_json::Value;

use crate::accuracy::{Measured, Reader, page};
use crate::cdr::{Channel, Row};

struct Lesson {
    title: &'static str,
    capture: &'static str,
    text: &'static str,
}

const LESSONS: &[Lesson] = &[
    Lesson {
        title: "A row is a pair of channels, not a call",
        capture: "ast22-vanilla/in-ringgroup-answered",
        text: "Every phone that rings has a row of its own, and so has everybody to whom a caller is handed on. Whoever counts
rows has one caller several times, and a missed call for each phone that did not answer.",
    },
    Lesson {
        title: "A transfer changes the rows that were",
        capture: "ast22-vanilla/in-blind-transfer",
        text: "The first row keeps its channels, but its `dst` becomes the number to which the caller was transferred. The second is answered at its start, since the caller's channel is up: how long the second phone rang is in no row, so
`bridged_seconds` and the second row's `billsec` have it as talk.",
    },
    Lesson {
        title: "`billsec` counts from whoever answered first",
        capture: "ast22-vanilla/in-ivr-answered",
        text: "Here a menu did. The time in the menu and the ringing after it become talk. Where a queue has answered, the rows of the
other members tell when one of them took the call; where one member rings alone, nothing does.",
    },
    Lesson {
        title: "Voicemail is ANSWERED",
        capture: "ast22-vanilla/in-voicemail-no-message",
        text: "The row tells neither that nobody of ours took part nor whether a message was left.",
    },
    Lesson {
        title: "Click-to-call has the employee's answer for the customer's",
        capture: "ast22-vanilla/click-to-call-answered",
        text: "The employee's phone is called first and is up when the customer is dialled: the ringing at the customer's end counts as talk, and nothing says that the employee's phone rang. If the customer is busy, the row may still have
seconds in `billsec`.",
    },
    Lesson {
        title: "A number that the PBX dialled by itself is in no column",
        capture: "lab22-vanilla/robot-direct-agent",
        text: "A program called the customer over the provider's channel (Originate), then an employee. `src` is the PBX's
own number: the call looks like an inbound one from oneself.",
    },
    Lesson {
        title: "An employee's mobile makes an outbound call of an inbound one",
        capture: "lab22-vanilla/followme-mobile-answered",
        text: "The leg to the mobile is a row with a provider's channel in the second place: read alone, it is a call that
somebody made to the mobile.",
    },
    Lesson {
        title: "A consultation on a second line is another linkedid",
        capture: "ast22-vanilla/in-attended-transfer-phone",
        text: "Only the channel that both rows have ties them together, and only after the transfer. Of a consultation that
did not end in one nothing in the rows says what it was about.",
    },
    Lesson {
        title: "A pickup leaves an answer of no time",
        capture: "ast22-vanilla/in-pickup-directed",
        text: "The phone that rang is ANSWERED with `billsec` 0, though nobody took it off the hook there.",
    },
    Lesson {
        title: "A number that does not exist is NO ANSWER",
        capture: "ast22-vanilla/out-wrong-number",
        text: "There is no column for the cause of a hangup.",
    },
    Lesson {
        title: "What was not dialled and not answered is not written",
        capture: "ast22-vanilla/in-offline",
        text: "With `unanswered = no`, as Asterisk has it by default, a caller for whom nothing could ring leaves no row.",
    },
    Lesson {
        title: "What a crash ends is not written",
        capture: "lab22-gaps/crash-mid-call",
        text: "A row is written when its call ends.",
    },
];

const HOUR_S: i64 = 3600;

pub fn section(measured: &[Measured]) -> String {
    let mut text =
        "## Where rows mislead\n\nRows as they were written, without some columns; times are UTC.\n"
            .to_owned();
    for lesson in LESSONS {
        if let Some(one) = measured.iter().find(|one| one.title == lesson.capture) {
            text += &format!("\n### {}\n\n{}\n\n{}", lesson.title, lesson.text, example(one));
        }
    }
    text
}

fn example(one: &Measured) -> String {
    let what = one.truth["description"].as_str().unwrap_or_default();
    let mut text = format!("`{}`: {what}\n\n```text\n{}\n", one.title, table(&one.rows));
    for call in one.truth["calls"].as_array().into_iter().flatten() {
        writeln!(text, "{:<20}{}", "what people did", told(call)).expect("a string takes everything");
    }
    for reader in Reader::ALL {
        let reading = one.reading(reader);
        if reading.is_right() {
            writeln!(text, "{:<20}right", reader.name()).expect("a string takes everything");
            continue;
        }
        for call in &reading.calls {
            writeln!(text, "{:<20}{}", reader.name(), told(call)).expect("a string takes everything");
        }
        writeln!(text, "{:<20}wrong: {}", reader.name(), page::wrong(&[reading]))
            .expect("a string takes everything");
    }
    text + "```\n"
}

/// One line of a call.
fn told(call: &Value) -> String {
    let text = |field: &str| match &call[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let list = |field: &str| {
        let values = call[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        values.collect::<Vec<_>>().join(" ")
    };
    let phone = if text("phone").is_empty() { "no number".to_owned() } else { text("phone") };
    format!(
        "{} {phone}, rang [{}], answered by [{}], responsible {}, talk {}, wait {}, status {}",
        text("direction"),
        list("rang"),
        list("answered_by"),
        text("responsible").replace("null", "nobody"),
        text("talk_seconds"),
        text("wait_seconds"),
        text("status"),
    )
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "(no rows)\n".to_owned();
    }
    let titles =
        ["start", "channel", "dstchannel", "src", "dst", "lastapp", "duration", "billsec", "disposition"];
    let mut cells = vec![titles.map(str::to_owned)];
    cells.extend(rows.iter().map(columns));
    let width = |column: usize| cells.iter().map(|line| line[column].len()).max().unwrap_or_default();
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &cells {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
            .expect("a string takes everything");
    }
    text
}

fn columns(row: &Row) -> [String; 9] {
    let name = |channel: &Channel| channel.name.clone();
    let seconds = row.start % (24 * HOUR_S);
    [
        format!("{:02}:{:02}:{:02}", seconds / HOUR_S, seconds / 60 % 60, seconds % 60),
        name(&row.channel),
        row.dstchannel.as_ref().map(name).unwrap_or_default(),
        row.src.clone(),
        row.dst.clone(),
        row.lastapp.clone(),
        row.duration.to_string(),
        row.billsec.to_string(),
        format!("{:?}", row.disposition),
    ]
}
