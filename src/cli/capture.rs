//! `ami2amo capture`: records what a PBX sends, or takes the people out of captures that are there.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::call::id::PbxName;
use crate::capture::anonymize::Anonymizer;
use crate::capture::live::{self, Order, Recorded};
use crate::capture::{key, stored};
use crate::cli::Usage;
use crate::cli::language::LanguageArgs;
use crate::clock;
use crate::config::check::{self, Grade};
use crate::config::size::bytes;
use crate::config::surroundings::Host;
use crate::config::{self, Config, Pbx};
use crate::ops::words::Language;
use crate::replay::pbx_name;
use crate::time::span::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Exchange numbers, names and addresses, the same for the same, and strike out other text
    #[arg(long)]
    anonymize: bool,
    /// The file to write, '-' for standard output; with several captures a folder [default: a name with the time;
    /// with --anonymize FILE standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The PBX to record [default: the only one]
    #[arg(long, value_name = "NAME", value_parser = pbx_name)]
    pbx: Option<PbxName>,
    /// Begin another file at this size: 500K, 100M, 1G
    #[arg(long, value_name = "SIZE", default_value = "100M", value_parser = bytes)]
    file_size: u64,
    /// Keep so many files; the oldest go
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    keep: NonZeroUsize,
    /// Stop after this time: 30s, 10m, 4h [default: at Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| Span::try_from(text.to_owned()))]
    duration: Option<Span>,
    /// Captures that are there (plain, gzip or zstd), for --anonymize
    #[arg(value_name = "FILE", requires = "anonymize", conflicts_with_all = ["pbx", "duration"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    language: LanguageArgs,
}

/// Records, or anonymizes.
///
/// # Errors
/// When the configuration cannot be used, the PBX does not let us in, or a file cannot be read or written.
pub fn run(args: &Args, config: Option<&Path>, default: &Path) -> anyhow::Result<ExitCode> {
    if args.files.is_empty() { record(args, config.unwrap_or(default)) } else { anonymize(args, config) }
}

/// The anonymizer, where one is wanted; employees' numbers are known by the extensions of the configuration, too.
fn anonymizer(config: Option<&Config>) -> anyhow::Result<Anonymizer> {
    let own = match config {
        Some(config) => config.policy.calls.dial_plan.variables.clone(),
        None => crate::call::policy::Policy::default().dial_plan.variables,
    };
    let mut anonymizer = Anonymizer::new(&key().context("the system gives no random bytes")?, &own);
    let accounts = config.into_iter().flat_map(|config| config.policy.all_accounts());
    for extension in accounts.flat_map(|amo| amo.users.keys()) {
        anonymizer.learn_extension(extension);
    }
    Ok(anonymizer)
}

fn anonymize(args: &Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = config.map(usable).transpose()?;
    let mut anonymizer = anonymizer(config.as_ref())?;
    for file in &args.files {
        stored::learn(file, &mut anonymizer)?;
    }
    let mut output = io::stdout().lock();
    for file in &args.files {
        let target = target(file, args)?;
        stored::anonymize(file, target.as_deref(), &mut output, &mut anonymizer)?;
    }
    output.flush().context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

/// Where a capture goes: into the folder, under its name without the packing's; to the file; or to standard output.
fn target(file: &Path, args: &Args) -> anyhow::Result<Option<PathBuf>> {
    let Some(output) = args.output.as_deref().filter(|output| *output != Path::new("-")) else {
        return Ok(None);
    };
    if output.is_dir() {
        let is_packed = file.extension().is_some_and(|end| end == "gz" || end == "zst");
        let name = if is_packed { file.file_stem() } else { file.file_name() };
        let name = name.with_context(|| format!("{} has no name", file.display()))?;
        return Ok(Some(output.join(name)));
    }
    if args.files.len() > 1 {
        bail!(Usage(format!("{} is no folder: several captures need one", output.display())));
    }
    Ok(Some(output.to_owned()))
}

fn record(args: &Args, path: &Path) -> anyhow::Result<ExitCode> {
    let config = usable(path)?;
    let pbx = chosen(&config, args.pbx.as_ref())?;
    let named = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}-{}.ami", pbx.name, clock::host().seconds())));
    let order = Order {
        settings: &pbx.connection,
        output: &named,
        size_max: args.file_size,
        keep: args.keep,
        anonymizer: args.anonymize.then(|| anonymizer(Some(&config))).transpose()?,
    };
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let recorded = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(wait(stop.clone(), args.duration.map(Span::duration))?);
        let recorded = live::record(order, &stop, &mut io::stderr()).await;
        recorded.with_context(|| format!("cannot record the PBX {}", pbx.name))
    });
    runtime.shutdown_background();
    let mut messages = io::stderr();
    writeln!(messages, "ami2amo: {}", summary(&recorded?, args.language.language()))
        .context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

/// Cancels `stop` at SIGINT, SIGTERM, or when the time is over.
fn wait(stop: CancellationToken, limit: Option<Duration>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch signals")?;
    Ok(async move {
        let over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = over => {}
        }
        stop.cancel();
    })
}

fn summary(recorded: &Recorded, language: Language) -> String {
    let Recorded { bytes, connections, files } = recorded;
    let names = match files.as_slice() {
        [] => language.pick("standard output", "стандартный вывод").to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" "),
    };
    language.pick(
        format!("{bytes} bytes of {connections} connections are in: {names}"),
        format!("записано байт: {bytes}, соединений: {connections}; файлы: {names}"),
    )
}

/// The configuration, as far as it can be used by hand.
fn usable(path: &Path) -> anyhow::Result<Config> {
    let (mut findings, config) = check::examine(config::read(path, &Host::Look)?, &Host::Look);
    findings.retain(|finding| finding.grade >= Grade::Warn);
    config.map_or_else(
        || {
            for finding in &mut findings {
                finding.grade = Grade::Fail;
            }
            Err(config::Error::Wrong { path: path.to_owned(), findings }.into())
        },
        Ok,
    )
}

fn chosen<'a>(config: &'a Config, wanted: Option<&PbxName>) -> anyhow::Result<&'a Pbx> {
    let pbxs = &config.setup.pbxs;
    match (wanted, pbxs.as_slice()) {
        (Some(wanted), pbxs) => {
            let found = pbxs.iter().find(|pbx| pbx.name == *wanted);
            found.with_context(|| format!("the configuration has no PBX {wanted}"))
        }
        (None, [pbx]) => Ok(pbx),
        (None, _) => bail!(Usage("there are several PBXs: say which with --pbx NAME".to_owned())),
    }
}
