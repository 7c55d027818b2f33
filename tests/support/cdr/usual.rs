//! CDR as reports and simple connectors read it: every row with a provider's channel is a call.
//!
//! The direction is the side on which that channel stands, the number `src` or `dst`, the employee
//! the extension in the other channel's name, the talk `billsec`, the result the disposition.

use crate::cdr::{Call, Channel, Direction, Disposition, Kind, Row, extension, status};

pub fn calls(rows: &[Row]) -> Vec<Call> {
    rows.iter().filter_map(call).collect()
}

fn call(row: &Row) -> Option<Call> {
    let is_trunk = |channel: &Channel| channel.kind == Kind::Trunk;
    let (direction, phone, employee) = if is_trunk(&row.channel) {
        (Direction::Inbound, &row.src, row.dstchannel.as_ref().and_then(employee))
    } else if row.dstchannel.as_ref().is_some_and(is_trunk) {
        (Direction::Outbound, &row.dst, employee(&row.channel))
    } else {
        return None;
    };
    let answered = row.disposition == Disposition::Answered;
    let people: Vec<String> = employee.iter().cloned().collect();
    Some(Call {
        direction,
        phone: phone.clone(),
        answered,
        responsible: employee,
        status: status_of(row.disposition),
        talk_seconds: row.billsec,
        bridged_seconds: row.billsec,
        wait_seconds: row.duration - row.billsec,
        answered_by: if answered { people.clone() } else { Vec::new() },
        rang: if direction == Direction::Inbound { people } else { Vec::new() },
    })
}

/// The extension in the name of a phone's channel or of a Local one.
fn employee(channel: &Channel) -> Option<String> {
    match &channel.kind {
        Kind::Phone(number) => Some(number.clone()),
        Kind::Local { exten } => extension(exten),
        Kind::Trunk | Kind::Other => None,
    }
}

fn status_of(disposition: Disposition) -> u8 {
    match disposition {
        Disposition::Answered => status::TALKED,
        Disposition::Busy => status::BUSY,
        Disposition::Congestion | Disposition::Failed | Disposition::NoAnswer => status::NOT_REACHED,
    }
}
