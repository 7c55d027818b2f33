//! Where the calls go: the four formats, and the comparison with calls that are expected.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use sha2::{Digest, Sha256};

use crate::call::id::AccountId;
use crate::call::record::{CallRecord, FinishedCall};
use crate::ops::screen::clean;
use crate::ops::sides::Doubts;
use crate::ops::words::Language;
use crate::ops::words::sides::Doubt;
use crate::replay::Format;
use crate::replay::expect::Comparison;
use crate::replay::stream::Receiver;
use crate::replay::table::Table;

/// Prints calls one by one; the same calls give the same bytes.
pub struct Sink<'a> {
    output: BufWriter<&'a mut (dyn Write + Send)>,
    form: Form<'a>,
    /// One rendered call; reused.
    line: Vec<u8>,
    /// A person watches: what is printed is shown at once.
    watched: bool,
    /// Endpoints whose side rests on little, to be told at the end.
    doubts: Vec<Doubt>,
    told: Doubts,
}

enum Form<'a> {
    Table(Table),
    Jsonl,
    Amocrm { batches: BTreeMap<AccountId, Vec<CallRecord>>, requests: Requests<'a> },
    None { calls: u64, digest: Sha256 },
    Expect(Comparison),
}

/// How requests to amoCRM are made.
pub struct Requests<'a> {
    /// Most calls in one.
    pub most: usize,
    /// Writes the body.
    pub write: &'a mut (dyn FnMut(&[CallRecord]) -> Vec<u8> + Send),
}

/// Output written at once when nobody watches.
const OUTPUT_PIECE: usize = 64 << 10;

/// Endpoints in doubt that are told of one by one; where there are more, something else is wrong.
const DOUBTS_MAX: usize = 20;

impl<'a> Sink<'a> {
    pub fn new(
        format: Format,
        output: &'a mut (dyn Write + Send),
        columns: Option<usize>,
        requests: Requests<'a>,
    ) -> Self {
        let form = match format {
            Format::Table => Form::Table(Table::new(columns)),
            Format::Jsonl => Form::Jsonl,
            Format::Amocrm => Form::Amocrm { batches: BTreeMap::new(), requests },
            Format::None => Form::None { calls: 0, digest: Sha256::new() },
        };
        Self::of(form, output, columns.is_some())
    }

    /// Holds the calls against others and prints what differs.
    pub fn comparing(comparison: Comparison, output: &'a mut (dyn Write + Send)) -> Self {
        Self::of(Form::Expect(comparison), output, false)
    }

    fn of(form: Form<'a>, output: &'a mut (dyn Write + Send), watched: bool) -> Self {
        let output = BufWriter::with_capacity(OUTPUT_PIECE, output);
        let (doubts, told) = (Vec::new(), Doubts::default());
        Self { output, form, line: Vec::new(), watched, doubts, told }
    }

    /// Prints what belongs at the end; doubts and totals of [`Format::None`] go to `messages`. Returns whether
    /// the calls are as expected, where some were.
    ///
    /// # Errors
    /// When one of both cannot be written.
    pub fn finish(mut self, messages: &mut (dyn Write + Send)) -> io::Result<bool> {
        let mut is_fine = true;
        write_doubts(messages, &self.doubts)?;
        match self.form {
            Form::Table(table) => self.output.write_all(table.totals().as_bytes())?,
            Form::Jsonl => {}
            Form::Amocrm { batches, requests } => {
                for mut batch in batches.into_values() {
                    write_batch(&mut self.output, &mut batch, requests.write)?;
                }
            }
            Form::None { calls, digest } => writeln!(messages, "calls={calls} digest={}", hex(digest))?,
            Form::Expect(comparison) => {
                let (text, is_same) = comparison.finish();
                is_fine = is_same;
                self.output.write_all(text.as_bytes())?;
            }
        }
        self.output.flush().map(|()| is_fine)
    }
}

impl Receiver for Sink<'_> {
    fn receive(&mut self, call: FinishedCall) -> io::Result<()> {
        let call = call.record;
        self.doubts.extend(self.told.news(&call));
        match &mut self.form {
            Form::Table(table) => self.output.write_all(table.row(&call).as_bytes())?,
            Form::Jsonl => {
                render(&call, &mut self.line)?;
                self.output.write_all(&self.line)?;
            }
            // Skipped calls are in no request.
            Form::Amocrm { .. } if call.skip.is_some() => {}
            Form::Amocrm { batches, requests } => {
                let batch = batches.entry(call.account.clone()).or_default();
                batch.push(call);
                if batch.len() >= requests.most {
                    write_batch(&mut self.output, batch, requests.write)?;
                }
            }
            Form::None { calls, digest } => {
                render(&call, &mut self.line)?;
                digest.update(&self.line);
                *calls += 1;
            }
            Form::Expect(comparison) => comparison.take(&serde_json::to_value(&call)?),
        }
        if self.watched { self.output.flush() } else { Ok(()) }
    }
}

/// Each endpoint whose side should be in the configuration, on a line.
fn write_doubts(messages: &mut (dyn Write + Send), doubts: &[Doubt]) -> io::Result<()> {
    for doubt in doubts.iter().take(DOUBTS_MAX) {
        writeln!(messages, "ami2amo: {}", clean(&doubt.text(Language::En)))?;
    }
    match doubts.len().saturating_sub(DOUBTS_MAX) {
        0 => Ok(()),
        more => {
            writeln!(messages, "ami2amo: {more} more endpoints are in doubt: see 'ami2amo check --sides'")
        }
    }
}

/// One JSON line.
fn render(call: &CallRecord, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    serde_json::to_writer(&mut *line, call)?;
    line.push(b'\n');
    Ok(())
}

fn write_batch(
    output: &mut dyn Write,
    batch: &mut Vec<CallRecord>,
    request: &mut (dyn FnMut(&[CallRecord]) -> Vec<u8> + Send),
) -> io::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    output.write_all(&request(batch))?;
    output.write_all(b"\n")?;
    batch.clear();
    Ok(())
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
