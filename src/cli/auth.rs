//! `ami2amo auth`: exchanges the code of an integration for tokens, and shows which token there is and
//! until when. It prints no secret.
//!
//! The tokens go into the file beside the store, whoever holds the store: a daemon that runs takes them
//! from there when its own are over, the next start at once.

use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, anyhow, bail};
use tokio::runtime::Builder;

use crate::amo::client::granter::ADVICE;
use crate::amo::client::safe::PairFile;
use crate::amo::client::{self, Clock, TOKEN_VARIABLE};
use crate::amo::pace::Pace;
use crate::amo::settings::Settings;
use crate::amo::settings::oauth::OAuth;
use crate::amo::token::pair::Pair;
use crate::amo::token::{TOKEN_MAX, Token, oauth};
use crate::call::id::AccountId;
use crate::clock;
use crate::config;
use crate::config::file::File;
use crate::config::surroundings::{Host, Surroundings as _};
use crate::outbox::store::search::holder;
use crate::time::HostTime;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Exchange this code for tokens: amoCRM gives it when somebody lets the integration into the
    /// account; "-" reads it from standard input, so that no list of processes shows it
    #[arg(long, value_name = "CODE", allow_hyphen_values = true)]
    code: Option<String>,
    /// The account that is meant [default: the only one]
    #[arg(long, value_name = "NAME", value_parser = |name: &str| AccountId::new(name))]
    account: Option<AccountId>,
}

/// One account as the configuration has it.
struct Account {
    id: AccountId,
    amo: Settings,
}

/// Exchanges a code, or shows what there is.
///
/// # Errors
/// When the configuration cannot be read or has no such account, and when amoCRM gives no tokens.
pub fn run(args: &Args, path: &Path) -> anyhow::Result<ExitCode> {
    let file = config::read(path, &Host::Look)?;
    let store_dir = file.store.dir.clone();
    let accounts = accounts(file, args.account.as_ref())?;
    let mut output = io::stdout().lock();
    let Some(code) = &args.code else {
        let shown: Vec<bool> = accounts
            .iter()
            .map(|account| show(&mut output, account, &store_dir))
            .collect::<io::Result<_>>()
            .context("cannot print")?;
        return Ok(if shown.iter().all(|fine| *fine) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    };
    let [account] = accounts.as_slice() else {
        bail!("there are several accounts: say which with --account NAME");
    };
    let pair = exchange(account, &given(code)?, &store_dir)?;
    tell(&mut output, account, &pair, &store_dir).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

/// The accounts that are meant.
fn accounts(file: File, wanted: Option<&AccountId>) -> anyhow::Result<Vec<Account>> {
    let all = std::iter::once(file.amocrm).chain(file.account);
    let meant: Vec<Account> = all
        .map(|amo| Account { id: amo.name.clone(), amo })
        .filter(|account| wanted.is_none_or(|wanted| account.id == *wanted))
        .collect();
    match (wanted, meant.is_empty()) {
        (Some(wanted), true) => bail!("the configuration has no account {}", wanted.as_str()),
        (Some(_) | None, _) => Ok(meant),
    }
}

fn given(code: &str) -> anyhow::Result<Token> {
    if code != "-" {
        return Token::parse(code).context("the code");
    }
    let mut text = String::new();
    let input = io::stdin().lock().take(2 * TOKEN_MAX as u64).read_to_string(&mut text);
    input.context("cannot read the code")?;
    Token::parse(&text).context("the code")
}

fn exchange(account: &Account, code: &Token, store_dir: &Path) -> anyhow::Result<Pair> {
    let Some(app) = &account.amo.oauth else {
        bail!(
            "a code goes with [amocrm.oauth], which the configuration does not have: a long-lived token needs none"
        );
    };
    let file = PairFile::of(store_dir, &account.id);
    let pace = Arc::new(Mutex::new(Pace::new(account.amo.requests_per_second)));
    let clock = Clock { host: clock::host, mono: clock::mono };
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let exchanged = client::authorize(&account.amo, app, code, &file, pace, clock);
    let pair = runtime.block_on(exchanged).context("cannot talk to amoCRM")?;
    pair.map_err(|words| anyhow!("no tokens came: {words}"))
}

fn tell(output: &mut impl Write, account: &Account, pair: &Pair, store_dir: &Path) -> io::Result<()> {
    let path = PairFile::of(store_dir, &account.id).path().display().to_string();
    writeln!(output, "amoCRM gave tokens for {}", pair.base_url)?;
    writeln!(output, "they are in {path} and are renewed from here on by the daemon")?;
    if let Ok(Some(pid)) = holder(store_dir) {
        writeln!(
            output,
            "the daemon (process {pid}) takes them when it needs a token, within seconds when it waits for one"
        )?;
    }
    output.flush()
}

/// Shows the token of one account; says whether there is one that can work.
fn show(output: &mut impl Write, account: &Account, store_dir: &Path) -> io::Result<bool> {
    let url = account.amo.base_url.as_ref().map_or("an account without base-url", |url| url.as_str());
    writeln!(output, "{}: {url}", account.id.as_str())?;
    // It is the default account's, as for the daemon.
    let is_default = account.id == AccountId::default();
    let variable = is_default.then(|| Host::Look.variable(TOKEN_VARIABLE)).flatten();
    let lines = match (variable, &account.amo.oauth) {
        (Some(text), _) => long_lived(&format!("the variable {TOKEN_VARIABLE}"), Ok(text)),
        (None, Some(app)) => granted(app, account, store_dir),
        (None, None) => match (&account.amo.token_file, &account.amo.token) {
            (Some(path), _) => long_lived(&path.display().to_string(), read(path)),
            (None, Some(secret)) => {
                Lines::of_token("the configuration", secret.token().map_err(|e| e.to_string()))
            }
            (None, None) => Lines::bad("no token: set token-file, or make [amocrm.oauth]"),
        },
    };
    for line in &lines.text {
        writeln!(output, "  {line}")?;
    }
    output.flush()?;
    Ok(lines.fine)
}

/// What is said of a token.
struct Lines {
    fine: bool,
    text: Vec<String>,
}

impl Lines {
    fn bad(text: impl Into<String>) -> Self {
        Self { fine: false, text: vec![text.into()] }
    }

    fn of_token(source: &str, token: Result<Token, String>) -> Self {
        let token = match token {
            Ok(token) => token,
            Err(words) => return Self::bad(format!("no long-lived token: {source}: {words}")),
        };
        let now = clock::host();
        let mut text = vec![format!("a long-lived token from {source}")];
        let expires_at = oauth::claims(&token).expires_at;
        text.push(match expires_at {
            Some(at) if at <= now => {
                format!("it ended at {at}: make a new one in the integration's keys and access")
            }
            Some(at) => format!("it works until {at} ({}), unless it is revoked", left(at, now)),
            None => "it does not say until when it works".to_owned(),
        });
        Self { fine: expires_at.is_none_or(|at| at > now), text }
    }
}

fn long_lived(source: &str, text: Result<String, String>) -> Lines {
    let token = text.and_then(|text| Token::parse(&text).map_err(|error| error.to_string()));
    Lines::of_token(source, token)
}

fn granted(app: &OAuth, account: &Account, store_dir: &Path) -> Lines {
    let client_id = app.client_id.as_str();
    let file = PairFile::of(store_dir, &account.id);
    let mut text = vec![format!("tokens of the integration {client_id}")];
    let pair = match file.read() {
        Ok(Some(pair)) if pair.client_id == client_id => pair,
        Ok(Some(_)) => return Lines::bad(format!("the tokens are those of another integration: {ADVICE}")),
        Ok(None) => return Lines::bad(format!("the integration {client_id} has no tokens: {ADVICE}")),
        Err(words) => return Lines::bad(words),
    };
    let now = clock::host();
    text.push(format!("in {}, obtained at {}", file.path().display(), pair.obtained_at));
    let (until, left_of_it) = (pair.expires_at, left(pair.expires_at, now));
    text.push(if until > now {
        format!("the token works until {until} ({left_of_it}) and is renewed before")
    } else {
        format!("the token ended at {until} and is renewed when the daemon runs")
    });
    let forgotten_at = pair.forgotten_at();
    let fine = forgotten_at > now;
    text.push(if fine {
        format!("amoCRM renews it until {forgotten_at} ({}), unless it is revoked", left(forgotten_at, now))
    } else {
        format!("amoCRM has renewed it until {forgotten_at} only: {ADVICE}")
    });
    if pair.base_url != pair.configured {
        text.push(format!("the account has moved to {}: change base-url", pair.base_url));
    }
    Lines { fine, text }
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = Host::Look.read(path).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How long it is until `at`, roundly.
fn left(at: HostTime, now: HostTime) -> String {
    let seconds = at.since(now).as_secs();
    match seconds {
        0..7_200 => format!("{} min left", seconds / 60),
        7_200..172_800 => format!("{} h left", seconds / 3600),
        _ => format!("{} days left", seconds / 86_400),
    }
}
