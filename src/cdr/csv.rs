//! Pure: the lines that Asterisk's `cdr_csv` writes.
//!
//! Sixteen columns are always there. `cdr.conf` adds others behind them: `loguniqueid`, `loguserfield`,
//! and three for `newcdrcolumns`; no header says which.

use crate::ami::event::made_at;
use crate::cdr::column::{Column, Raw};
use crate::time::local;

/// The columns that are always there; `None`: of no use to calls.
const FIRST: [Option<Column>; 16] = [
    Some(Column::Account),
    Some(Column::Src),
    Some(Column::Dst),
    Some(Column::Context),
    None, // clid
    Some(Column::Channel),
    Some(Column::DstChannel),
    Some(Column::LastApp),
    Some(Column::LastData),
    Some(Column::Start),
    Some(Column::Answer),
    Some(Column::End),
    Some(Column::Duration),
    Some(Column::Billsec),
    Some(Column::Disposition),
    None, // amaflags
];

/// `peeraccount`, `linkedid`, `sequence`.
const NEW: [Option<Column>; 3] = [None, Some(Column::Linkedid), Some(Column::Sequence)];

/// Reads one line without its end; `None` when it is no record.
pub fn record(line: &[u8]) -> Option<Raw> {
    let fields = fields(line)?;
    let behind = fields.len().checked_sub(FIRST.len())?;
    let is_uniqueid = |at: usize| fields.get(at).is_some_and(|field| made_at(field.as_bytes()).is_some());
    let [uniqueid, userfield] = [Some(Column::Uniqueid), None];
    let one = [if is_uniqueid(FIRST.len()) { uniqueid } else { userfield }];
    let (named, new): (&[Option<Column>], &[Option<Column>]) = match behind {
        0 => (&[], &[]),
        1 => (&one, &[]),
        2 => (&[uniqueid, userfield], &[]),
        3 => (&[], &NEW),
        4 => (&one, &NEW),
        5 => (&[uniqueid, userfield], &NEW),
        _ => return None,
    };
    let columns = FIRST.iter().chain(named).chain(new);
    let raw: Raw = columns.zip(fields).filter_map(|(column, field)| Some(((*column)?, field))).collect();
    is_record(&raw).then_some(raw)
}

/// Whether columns have what belongs into them. `cdr_custom` writes files of the same name whose columns
/// begin with another one: each would be taken for its neighbour.
fn is_record(raw: &Raw) -> bool {
    let is_time = |text: &str| local::parse(text).is_some();
    let is_count = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ');
    raw.get(Column::Start).is_some_and(is_time)
        && [Column::Answer, Column::End].into_iter().all(|column| raw.get(column).is_none_or(is_time))
        && [Column::Duration, Column::Billsec].into_iter().all(|column| raw.get(column).is_some_and(is_count))
        && raw.get(Column::Disposition).is_some_and(is_word)
}

/// The fields of a line, in which quotes within quotes are doubled; `None` when a quote is left open.
pub(super) fn fields(line: &[u8]) -> Option<Vec<String>> {
    const FIELDS_MAX: usize = 64;
    let (mut fields, mut field, mut quoted) = (Vec::new(), Vec::new(), false);
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.next_if_eq(&b'"').is_some() => field.push(b'"'),
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                fields.push(text(&field));
                field.clear();
            }
            b'\r' if !quoted => {}
            other => field.push(other),
        }
        if fields.len() > FIELDS_MAX {
            return None;
        }
    }
    fields.push(text(&field));
    (!quoted).then_some(fields)
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_16: &str = "\"acc\",\"7916\",\"101\",\"from-trunk\",\"\"\"A, B\"\" <7916>\",\"PJSIP/t-1\",\"PJSIP/101-2\",\"Dial\",\
         \"PJSIP/101,20\",\"2026-11-22 09:27:15\",,\"2026-11-22 09:27:18\",3,0,\"NO ANSWER\",\"DOCUMENTATION\"";

    #[track_caller]
    fn check(behind: &str, uniqueid: Option<&str>, linkedid: Option<&str>) {
        let raw = record(format!("{FIRST_16}{behind}").as_bytes()).unwrap();
        assert_eq!(raw.get(Column::DstChannel), Some("PJSIP/101-2"));
        assert_eq!(raw.get(Column::End), Some("2026-11-22 09:27:18"));
        assert_eq!((raw.get(Column::Uniqueid), raw.get(Column::Linkedid)), (uniqueid, linkedid), "{behind}");
    }

    #[test]
    fn every_choice_of_columns_is_known() {
        let (id, linked) = (Some("1795339635.20"), Some("1795339635.19"));
        check("", None, None);
        check(",\"1795339635.20\"", id, None);
        check(",\"user\"", None, None);
        check(",\"1795339635.20\",\"user\"", id, None);
        check(",\"peer\",\"1795339635.19\",7", None, linked);
        check(",\"1795339635.20\",\"\",\"1795339635.19\",7", id, linked);
        check(",\"user\",\"\",\"1795339635.19\",7\r", None, linked);
        check(",\"1795339635.20\",\"user\",\"\",\"1795339635.19\",7", id, linked);
    }

    #[test]
    fn columns_of_cdr_custom_are_not_taken_for_their_neighbours() {
        let custom = "\"\"\"A\"\" <7916>\",\"7916\",\"101\",\"from-trunk\",\"PJSIP/t-1\",\"PJSIP/101-2\",\"Dial\",\"PJSIP/101,20\",\
             \"2026-11-22 09:27:15\",\"2026-11-22 09:27:18\",\"2026-11-22 09:27:22\",\"7\",\"4\",\"ANSWERED\",\"DOCUMENTATION\",\
             \"acc\",\"1795339635.20\",\"\",\"7\"";
        assert_eq!(fields(custom.as_bytes()).unwrap().len(), 19);
        assert_eq!(record(custom.as_bytes()), None);
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in ["", "a,b", "\"open", &format!("{FIRST_16},1,2,3,4,5,6"), &",".repeat(1000)] {
            assert_eq!(record(line.as_bytes()), None, "{line}");
        }
    }
}
