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

/// Tables in their order. Comments go to the table or key below them; an empty line cuts them off.
pub fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let (mut part, mut comment) = (String::new(), String::new());
    for line in text.lines() {
        let bare = line.trim_start_matches('#');
        if let Some(ruler) = line.strip_prefix("# ---- ") {
            part = String::from(ruler.trim_end_matches(['-', ' ']));
        } else if line.is_empty() || line == "#" || line.starts_with("#   ") {
            comment.clear();
        } else if bare.starts_with('[') {
            let meaning = std::mem::take(&mut comment);
            let (header, part) = (bare.to_owned(), part.clone());
            tables.push(Table { header, part, meaning, entries: Vec::new() });
        } else if let Some((key, value)) = bare.split_once(" = ").filter(|_| !bare.starts_with(' ')) {
            let (key, value) = (key.to_owned(), value.to_owned());
            let entry = Entry { key, value, meaning: std::mem::take(&mut comment) };
            tables.last_mut().expect("a key stands in a table").entries.push(entry);
        } else {
            comment.push_str(if comment.is_empty() { "" } else { " " });
            comment.push_str(bare.trim());
        }
    }
    tables
}
