//! `ami2amo check --sides`: reads captures and shows what they say of their endpoints.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use crate::call::id::PbxName;
use crate::call::record::FinishedCall;
use crate::cli::check::Rules;
use crate::cli::language;
use crate::ops::screen;
use crate::ops::sides::{self, Rulings};
use crate::ops::words::Language;
use crate::replay::{Captures, End};

pub(super) fn run(
    files: &[PathBuf],
    json: bool,
    language: Language,
    rules: Rules,
) -> anyhow::Result<ExitCode> {
    let title = rules.title(language);
    let mut rulings = Rulings::default();
    let mut take = |call: FinishedCall| {
        rulings.add(&call);
        Ok(())
    };
    let captures = Captures {
        files,
        pbx: &PbxName::default(),
        policy: Arc::new(rules.policy),
        input: &mut io::stdin(),
        messages: &mut io::stderr(),
    };
    let followed = captures.follow(&mut take).context("cannot print")?;
    let mut output = io::stdout().lock();
    let text = if json {
        sides::json(&followed.portraits, &rulings, language).context("cannot print")?
    } else {
        let mut lines = vec![title];
        lines.extend(sides::page(&followed.portraits, &rulings, language));
        screen::page(&lines, language::paint(&output))
    };
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot print")?;
    Ok(match followed.end {
        End::AllRead => ExitCode::SUCCESS,
        End::SomeFailed => ExitCode::FAILURE,
    })
}
