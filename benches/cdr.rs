//! How fast rows become calls: those of an hour of a very large PBX, as the repair of a gap reads them.

use std::hint::black_box;
use std::sync::Arc;

use ami2amo::call::id::PbxName;
use ami2amo::cdr::calls::{self, Known};
use ami2amo::cdr::csv;
use ami2amo::cdr::row::{Row, Rows};
use ami2amo::time::local;
use divan::Bencher;
use divan::counter::ItemsCount;

/// 2026-11-22 09:00:00 UTC.
const HOUR: i64 = 1_795_338_000;

fn main() {
    divan::main();
}

/// A phone that rang and did not answer, and one that talked for a minute.
fn call(number: i64) -> [String; 2] {
    let begin = HOUR + number % 3600;
    let row = |phone: i64, answer: Option<i64>, end: i64, how: &str| {
        let text = |second: i64| local::text((begin + second) * 1_000_000);
        let answer = answer.map(|second| format!("\"{}\"", text(second))).unwrap_or_default();
        format!(
            "\"\",\"7916{number:07}\",\"300\",\"from-trunk\",\"\",\"PJSIP/trunk-msk-{number:08x}\",\
             \"PJSIP/{phone}-{:08x}\",\"Dial\",\"PJSIP/101&PJSIP/102,12\",\"{}\",{answer},\"{}\",{end},0,\"{how}\",\
             \"DOCUMENTATION\",\"{begin}.{number}\",\"\",\"\",\"{begin}.{number}\",{phone}",
            number * 2 + phone,
            text(0),
            text(end),
        )
    };
    [row(101, None, 5, "NO ANSWER"), row(102, Some(5), 65, "ANSWERED")]
}

fn rows(calls: usize) -> Vec<Row> {
    let lines = (0..i64::try_from(calls).unwrap_or(i64::MAX)).flat_map(call);
    let raws: Vec<_> = lines.filter_map(|line| csv::record(line.as_bytes())).collect();
    Rows::read(&raws, Some(0)).rows
}

#[divan::bench(args = [500, 5000], sample_count = 10, sample_size = 1)]
fn rows_to_calls(bencher: Bencher<'_, '_>, count: usize) {
    let (rows, pbx, policy) = (rows(count), PbxName::default(), Arc::default());
    assert_eq!(rows.len(), count * 2, "each line is a record");
    let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
    bencher.counter(ItemsCount::new(rows.len())).bench_local(|| {
        let made = calls::calls(black_box(&rows), known);
        assert_eq!(made.len(), count);
    });
}
