//! Pure: the lines that Asterisk's `cel_custom` writes with the mapping of its own sample.

use crate::ami::event::made_at;
use crate::cdr::cel::entry::Column;
use crate::cdr::column::Raw;
use crate::cdr::csv;

/// The columns of the sample; `None`: of no use to calls.
const COLUMNS: [Option<Column>; 20] = [
    Some(Column::Kind),
    Some(Column::Time),
    None, // name
    Some(Column::Number),
    None, // ANI
    None, // RDNIS
    None, // DNID
    Some(Column::Exten),
    Some(Column::Context),
    Some(Column::Channel),
    Some(Column::App),
    Some(Column::Data),
    None, // amaflags
    Some(Column::Account),
    Some(Column::Uniqueid),
    Some(Column::Linkedid),
    None, // peer
    None, // userfield
    None, // userdeftype
    Some(Column::Extra),
];

/// Reads one line without its end; `None` when it is none of these.
pub fn record(line: &[u8]) -> Option<Raw<Column>> {
    let fields = csv::fields(line).filter(|fields| fields.len() == COLUMNS.len())?;
    let columns = COLUMNS.into_iter().zip(fields);
    let raw: Raw<Column> = columns.filter_map(|(column, field)| Some((column?, field))).collect();
    made_at(raw.get(Column::Uniqueid)?.as_bytes()).and(raw.get(Column::Time)).is_some().then_some(raw)
}
