//! The database's trees as rows, written and read without the store: an eye of its own on what lies there.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

const MAGIC: &[u8] = b"A2Q1";

/// One value of one tree.
pub struct Row {
    pub tree: String,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl Row {
    pub fn read(line: &Value) -> Self {
        let bytes = |name: &str| unhex(line[name].as_str().expect("hexadecimal text"));
        let tree = line["tree"].as_str().expect("a tree's name").to_owned();
        Self { tree, key: bytes("key"), value: bytes("value") }
    }

    pub fn json(&self) -> Value {
        json!({"tree": self.tree, "key": hex(&self.key), "value": hex(&self.value)})
    }

    /// As a later version may have written it: more keys in the slip and in the record.
    pub fn add_later_keys(&mut self) {
        let (id, [mut slip, mut call]) = self.parts();
        slip["later"] = json!([1, {"than": null}]);
        call["record"]["later"] = json!("too");
        self.value = framed(&id, format!("{slip}\n{call}").as_bytes());
    }

    pub fn has_later_keys(&self) -> bool {
        let (_, [slip, call]) = self.parts();
        slip["later"] == json!([1, {"than": null}]) && call["record"]["later"] == json!("too")
    }

    /// The call's id, its slip and its record.
    fn parts(&self) -> (Vec<u8>, [Value; 2]) {
        let (id, rest) = part(self.value.strip_prefix(MAGIC).expect("a frame begins with its mark"));
        let (payload, _) = part(rest);
        let text = std::str::from_utf8(payload).expect("JSON is text");
        let (slip, call) = text.split_once('\n').expect("two lines");
        (id.to_vec(), [slip, call].map(|line| serde_json::from_str(line).expect("a line of JSON")))
    }
}

/// Makes a database with these values and nothing else.
pub fn build(path: &Path, rows: &[Row]) {
    let db = open(path);
    for row in rows {
        let tree = db.open_tree(&row.tree).expect("a tree can be made");
        tree.insert(&row.key, &row.value[..]).expect("a value can be written");
    }
    db.flush().expect("the values can be written");
}

/// All values of a database.
pub fn rows(path: &Path) -> Vec<Row> {
    let db = open(path);
    let mut names = db.tree_names();
    names.sort();
    let mut rows = Vec::new();
    for name in names {
        for entry in &db.open_tree(&name).expect("the tree is there") {
            let (key, value) = entry.expect("the value can be read");
            let tree = String::from_utf8(name.to_vec()).expect("plain names");
            rows.push(Row { tree, key: key.to_vec(), value: value.to_vec() });
        }
    }
    rows
}

fn open(path: &Path) -> sled::Db {
    sled::Config::new().path(path).flush_every_ms(None).open().expect("a database of this test's own")
}

fn framed(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for part in [key, payload] {
        bytes.extend(u32::try_from(part.len()).expect("a short value").to_le_bytes());
        bytes.extend(part);
    }
    let crc = crc32fast::hash(&bytes[MAGIC.len()..]);
    bytes.extend(crc.to_le_bytes());
    bytes
}

fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk::<4>().expect("a length");
    rest.split_at(u32::from_le_bytes(*length) as usize)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).expect("plain digits"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}
