//! The example configuration, as tables of keys with the comments above them.

/// A table of the example.
pub struct Table {
    /// `[amocrm.unknown]`, `[[pbx]]`
    pub header: String,
    /// What the ruler above it says.
    pub part: String,
    pub meaning: String,
    pub entries: Vec<Entry>,
}

pub struct Entry {
    pub key: String,
    pub value: String,
    pub meaning: String,
}

impl Table {
    /// `amocrm.unknown`
    pub fn path(&self) -> &str {
        self.header.trim_matches(['[', ']'])
    }

    /// Whether its keys are the user's own: extensions, outcomes.
    pub fn is_free(&self) -> bool {
        !crate::reader::is_table(self.path())
    }

    /// Its own path, and those of its keys; what a comment names as another spelling counts.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.path().to_owned()];
        for entry in &self.entries {
            let others = entry.meaning.split(" = ").filter_map(|before| before.rsplit(' ').next());
            let keys = others.chain([entry.key.as_str()]);
            for key in keys {
                // Of `oauth.client-id` also `oauth`.
                let ends = key.match_indices('.').map(|(at, _)| at).chain([key.len()]);
                names.extend(ends.map(|end| format!("{}.{}", self.path(), &key[..end])));
            }
        }
        names
    }
}

/// What a line of the example is.
enum Line<'a> {
    /// `# ---- delivery ----`
    Ruler(&'a str),
    /// Nothing, or a part of another program's file; it cuts a comment off.
    Gap,
    /// `[pbx]`, `##[[account]]`
    Header(&'a str),
    /// `name = "default"`, `#tls = "off"`
    Key(&'a str, &'a str),
    Comment(&'a str),
}

fn line(text: &str) -> Line<'_> {
    let bare = text.trim_start_matches('#');
    if let Some(ruler) = text.strip_prefix("# ---- ") {
        return Line::Ruler(ruler.trim_end_matches(['-', ' ']));
    }
    if text.is_empty() || text == "#" || text.starts_with("#   ") {
        return Line::Gap;
    }
    if bare.starts_with('[') {
        return Line::Header(bare);
    }
    match bare.split_once(" = ").filter(|_| !bare.starts_with(' ')) {
        Some((key, value)) => Line::Key(key, value),
        None => Line::Comment(bare.trim()),
    }
}

/// Tables in their order. Comments go to the table or key below them; an empty line cuts them off.
pub fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let (mut part, mut comment) = (String::new(), String::new());
    for text in text.lines() {
        match line(text) {
            Line::Ruler(ruler) => part = String::from(ruler),
            Line::Gap => comment.clear(),
            Line::Header(header) => {
                let meaning = std::mem::take(&mut comment);
                let (header, part) = (header.to_owned(), part.clone());
                tables.push(Table { header, part, meaning, entries: Vec::new() });
            }
            Line::Key(key, value) => {
                let (key, value) = (key.to_owned(), value.to_owned());
                let entry = Entry { key, value, meaning: std::mem::take(&mut comment) };
                tables.last_mut().expect("a key stands in a table").entries.push(entry);
            }
            Line::Comment(words) => {
                comment.push_str(if comment.is_empty() { "" } else { " " });
                comment.push_str(words);
            }
        }
    }
    tables
}

/// All but what is said in some language, with numbers of lines: a comment is one mark, however long it is.
pub fn shape(text: &str) -> Vec<(usize, &str)> {
    let mut shape: Vec<(usize, &str)> = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let kept = match line(text) {
            Line::Ruler(_) => "(a ruler)",
            Line::Comment(_) => "(a comment)",
            Line::Gap | Line::Header(_) | Line::Key(..) => text,
        };
        if kept != "(a comment)" || shape.last().is_none_or(|(_, last)| *last != kept) {
            shape.push((number, kept));
        }
    }
    shape
}
