//! Pure: a table that fits: columns are as wide as what stands in them, and the widest ones give way.

use crate::ops::screen::{Line, Style, cell, columns};

/// One cell of it.
pub type Cell = (Style, String);

/// Blanks between columns.
const GAP: usize = 2;

/// Narrower than this no column is made.
const NARROW: usize = 4;

/// The rows, which have as many cells each, in at most `width` columns; a cell that does not fit is cut with a
/// mark.
pub fn table(rows: &[Vec<Cell>], width: usize) -> Vec<Line> {
    let widths = widths(rows, width);
    let line = |row: &Vec<Cell>| {
        let mut line = Line::default();
        let last = row.len().saturating_sub(1);
        for (place, ((style, text), width)) in row.iter().zip(&widths).enumerate() {
            line.push(*style, cell(text, *width));
            if place < last {
                line.push(Style::Plain, " ".repeat(GAP));
            }
        }
        line
    };
    rows.iter().map(line).collect()
}

fn widths(rows: &[Vec<Cell>], width: usize) -> Vec<usize> {
    let count = rows.first().map_or(0, Vec::len);
    let widest = |place: usize| {
        rows.iter().filter_map(|row| row.get(place)).map(|(_, text)| columns(text)).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..count).map(widest).collect();
    let room = width.saturating_sub(GAP * count.saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().filter(|width| **width > NARROW).max() {
            Some(widest) => *widest -= 1,
            None => break,
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[&[&str]], width: usize, expected: &[&str]) {
        let rows: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| row.iter().map(|text| (Style::Plain, (*text).to_owned())).collect())
            .collect();
        assert_eq!(table(&rows, width).iter().map(Line::plain).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        check(&[&["name", "n"], &["a", "12"]], 80, &["name  n", "a     12"]);
        check(&[], 80, &[]);
    }

    #[test]
    fn the_widest_column_gives_way() {
        check(&[&["msk", "a very long state", "12"]], 20, &["msk  a very lon…  12"]);
        check(&[&["营业营业营业", "x"]], 10, &["营业营…  x"]);
    }

    #[test]
    fn a_cell_cannot_play_with_the_terminal() {
        check(&[&["a\u{1b}[2J", "b"]], 80, &["a\u{fffd}[2J  b"]);
    }
}
