//! Pure: text for a terminal: how wide it is, what of it may be shown, where it is cut or broken.
//!
//! Names come from the network. Control characters and marks that turn the writing direction, which
//! could play with the terminal, are never passed on.

use std::fmt::Write as _;

pub mod table;

/// Columns of a page: what every terminal has.
pub const WIDTH: usize = 80;

/// A row of a page: pieces of text, each in its style.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Line(Vec<(Style, String)>);

/// What a piece of text is, for a terminal that has colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    Plain,
    /// A heading.
    Strong,
    /// What may be overlooked.
    Faint,
    /// All is well; people talk.
    Good,
    /// Somebody waits.
    Waiting,
    /// Something went wrong, or a person must act.
    Bad,
}

/// Whether styles are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Paint {
    /// A file, a pipe, or a terminal whose user wants no colours.
    None,
    Colours,
}

/// What stands for a character that is not passed on.
const HIDDEN: char = '\u{fffd}';

impl Line {
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        let mut line = Self::default();
        line.push(style, text);
        line
    }

    pub fn push(&mut self, style: Style, text: impl Into<String>) {
        let text = text.into();
        match self.0.last_mut() {
            Some((last, before)) if *last == style => before.push_str(&text),
            Some(_) | None => self.0.push((style, text)),
        }
    }

    /// Columns that the line takes.
    pub fn columns(&self) -> usize {
        self.0.iter().map(|(_, text)| columns(text)).sum()
    }

    /// The line in lines of at most `width` columns, broken between words where that can be; all but the
    /// first begin with `margin` blanks.
    pub fn fold(self, width: usize, margin: usize) -> Vec<Self> {
        if self.columns() <= width {
            return vec![self];
        }
        let mut lines = vec![Self::default()];
        for (style, text) in self.0 {
            for word in text.split_inclusive(' ').flat_map(|word| chop(word, width - margin)) {
                let used = lines.last().map_or(0, Self::columns);
                if used + columns(word.trim_end()) > width && used > margin {
                    if let Some(full) = lines.last_mut() {
                        full.trim_end();
                    }
                    lines.push(Self::new(Style::Plain, " ".repeat(margin)));
                }
                if let Some(line) = lines.last_mut() {
                    line.push(style, word);
                }
            }
        }
        lines
    }

    fn trim_end(&mut self) {
        if let Some((_, last)) = self.0.last_mut() {
            last.truncate(last.trim_end().len());
        }
    }

    /// The line without styles and without blanks at its end.
    pub fn plain(&self) -> String {
        let text: String = self.0.iter().map(|(_, text)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    fn coloured(&self) -> String {
        let mut line = String::new();
        for (style, text) in &self.0 {
            match style.code() {
                Some(code) if !text.trim().is_empty() => {
                    write!(line, "\u{1b}[{code}m{text}\u{1b}[0m").expect("a string takes everything");
                }
                Some(_) | None => line.push_str(text),
            }
        }
        line.trim_end().to_owned()
    }
}

impl Style {
    /// What of "select graphic rendition" (ECMA-48 8.3.117) it is; colours of the first eight, which
    /// every palette keeps readable.
    const fn code(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Strong => Some(1),
            Self::Faint => Some(2),
            Self::Good => Some(32),
            Self::Waiting => Some(33),
            Self::Bad => Some(31),
        }
    }
}

/// The lines as they are printed.
pub fn page(lines: &[Line], paint: Paint) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str(&match paint {
            Paint::None => line.plain(),
            Paint::Colours => line.coloured(),
        });
        text.push('\n');
        text
    })
}

/// `text` with a mark for each character that must not reach a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { HIDDEN } else { c }).collect()
}

/// Whether a character could play with the terminal: a control character, a separator of lines, or a
/// mark that turns the direction of what follows.
pub fn is_harmful(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// JSON in which characters that could play with a terminal are written by number. Outside strings
/// JSON has none of them but line ends.
pub fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmful(c) && c != '\n' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// `text` without harmful characters, cut to `width` columns with a mark where it was cut.
pub fn fit(text: &str, width: usize) -> String {
    let clean = clean(text);
    if columns(&clean) <= width {
        return clean;
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += columns_of(*c);
        used <= width
    };
    clean.chars().take_while(fits).chain(['…']).collect()
}

/// As [`fit`], filled up with blanks.
pub fn cell(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let blanks = " ".repeat(width.saturating_sub(columns(&text)));
    text + &blanks
}

/// `text` in lines of at most `width` columns, broken between words where that can be.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in clean(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.extend(chop(word, width)),
        }
    }
    lines
}

/// `text` in pieces of at most `width` columns; nothing of it is left out.
pub fn chop(text: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let columns = columns_of(c);
        if used + columns > width && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        used += columns;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

/// The columns that a terminal takes for `text`.
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Combining marks take none, East Asian wide characters and emoji two (Unicode TR 11).
fn columns_of(c: char) -> usize {
    let code = u32::from(c);
    let within = |blocks: &[(u32, u32)]| {
        let after = blocks.partition_point(|(first, _)| *first <= code);
        after > 0 && code <= blocks[after - 1].1
    };
    if code < 0x300 {
        1
    } else if within(&NO_COLUMN) {
        0
    } else if within(&TWO_COLUMNS) {
        2
    } else {
        1
    }
}

/// Marks upon other characters, in the scripts that names are written in here.
const NO_COLUMN: [(u32, u32); 8] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200d),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
];

/// "W" and "F" of Unicode's `EastAsianWidth`, blocks joined where nothing narrow is between them.
const TWO_COLUMNS: [(u32, u32); 59] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x2329, 0x232a),
    (0x23e9, 0x23ec),
    (0x23f0, 0x23f0),
    (0x23f3, 0x23f3),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2630, 0x2637),
    (0x2648, 0x2653),
    (0x267f, 0x267f),
    (0x268a, 0x268f),
    (0x2693, 0x2693),
    (0x26a1, 0x26a1),
    (0x26aa, 0x26ab),
    (0x26bd, 0x26be),
    (0x26c4, 0x26c5),
    (0x26ce, 0x26ce),
    (0x26d4, 0x26d4),
    (0x26ea, 0x26ea),
    (0x26f2, 0x26f3),
    (0x26f5, 0x26f5),
    (0x26fa, 0x26fa),
    (0x26fd, 0x26fd),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274c),
    (0x274e, 0x274e),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2795, 0x2797),
    (0x27b0, 0x27b0),
    (0x27bf, 0x27bf),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b50),
    (0x2b55, 0x2b55),
    (0x2e80, 0xa4cf),
    (0xa960, 0xa97c),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe10, 0xfe19),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x16fe0, 0x18dff),
    (0x1aff0, 0x1b2ff),
    (0x1d300, 0x1d376),
    (0x1f004, 0x1f004),
    (0x1f0cf, 0x1f0cf),
    (0x1f18e, 0x1f18e),
    (0x1f191, 0x1f19a),
    (0x1f200, 0x1f265),
    (0x1f300, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f7e0, 0x1f7f0),
    (0x1f900, 0x1f9ff),
    (0x1fa70, 0x1faff),
    (0x20000, 0x3fffd),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_in_order_and_apart() {
        for blocks in [&NO_COLUMN[..], &TWO_COLUMNS] {
            assert!(blocks.iter().all(|(first, last)| first <= last));
            assert!(blocks.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }

    #[test]
    fn wide_characters_count_twice_and_marks_not_at_all() {
        for (text, expected) in
            [("101", 3), ("営業", 4), ("й", 1), ("и\u{306}", 1), ("☎", 1), ("✅", 2), ("📞", 2), ("한국", 4)]
        {
            assert_eq!(columns(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_is_cut_at_a_column_and_says_so() {
        assert_eq!(fit("менеджер", 8), "менеджер");
        assert_eq!(fit("менеджеры", 8), "менедже…");
        assert_eq!(fit("営業部長", 6), "営業…");
        assert_eq!(cell("営業", 6), "営業  ");
        assert_eq!(fit("\u{1b}[2J\u{202e}x\u{9b}\n", 9), "�[2J�x��");
    }

    #[test]
    fn json_keeps_its_meaning_and_loses_its_power() {
        let text = "\u{1b}[2J\u{9b}\u{202e}営\n";
        let json = escape(&serde_json::to_string(text).unwrap());
        assert!(!json.contains(is_harmful), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_text_is_broken_between_words_and_long_words_anywhere() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 5), ["abcde", "fgh", "ij"]);
        assert_eq!(wrap("", 5), Vec::<String>::new());
        assert_eq!(chop("営業部", 5), ["営業", "部"]);
    }

    #[test]
    fn a_line_is_folded_between_words_with_its_styles() {
        let mut line = Line::new(Style::Plain, "one two ");
        line.push(Style::Bad, "three four-and-a-half");
        let folded = line.clone().fold(12, 2);
        let plain: Vec<_> = folded.iter().map(Line::plain).collect();
        assert_eq!(plain, ["one two", "  three", "  four-and-a", "  -half"]);
        assert_eq!(page(&folded[1..2], Paint::Colours), "  \u{1b}[31mthree\u{1b}[0m\n");
        assert_eq!(line.clone().fold(80, 2), [line]);
    }

    #[test]
    fn styles_show_on_a_painted_page_only() {
        let mut line = Line::new(Style::Good, "talks");
        line.push(Style::Plain, "  ");
        let lines = [line];
        assert_eq!(page(&lines, Paint::None), "talks\n");
        assert_eq!(page(&lines, Paint::Colours), "\u{1b}[32mtalks\u{1b}[0m\n");
    }
}
