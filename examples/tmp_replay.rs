use ami2amo::{
    ami::wire::*,
    call::{id::PbxName, policy::Policy, record::Source},
    intake::reader::Reader,
};
use std::io::Read;
use std::sync::Arc;
fn main() {
    let mut r = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    let files: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--") && a != "replay" && a != "jsonl").collect();
    let quiet = std::env::var("Q").is_ok();
    let t = std::time::Instant::now();
    let mut n = 0;
    let mut out = Vec::new();
    for f in files {
        let mut s = Splitter::new();
        let mut src: Box<dyn Read> = if f.ends_with(".gz") {
            Box::new(flate2::read::MultiGzDecoder::new(std::fs::File::open(f).unwrap()))
        } else {
            Box::new(std::fs::File::open(f).unwrap())
        };
        let mut buf = vec![0u8; 256 << 10];
        let mut have = 0;
        loop {
            if have == buf.len() {
                buf.resize(have * 2, 0);
            }
            let k = src.read(&mut buf[have..]).unwrap();
            if k == 0 {
                break;
            }
            have += k;
            let mut at = 0;
            loop {
                match s.next(&buf[at..have]) {
                    Step::Frame { frame, used } => {
                        r.handle_frame(&frame, None);
                        at += used;
                        while let Some(c) = r.poll_finished() {
                            n += 1;
                            out.clear();
                            serde_json::to_writer(&mut out, &c.record).unwrap();
                            if !quiet {
                                println!("{}", std::str::from_utf8(&out).unwrap());
                            }
                        }
                    }
                    Step::Skip { used } => at += used,
                    Step::More => break,
                }
            }
            buf.copy_within(at..have, 0);
            have -= at;
        }
    }
    r.finish();
    while let Some(c) = r.poll_finished() {
        n += 1;
        if !quiet {
            println!("{}", serde_json::to_string(&c.record).unwrap());
        }
    }
    if quiet {
        eprintln!("{n} calls {:?} {:?}", t.elapsed(), r.stats());
    }
}
