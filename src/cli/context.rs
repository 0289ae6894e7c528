//! What every command needs: the settings, the clock, the ledger, and the way to print.

use super::{ColorChoice, GlobalArgs};
use crate::clock::Clock;
use crate::domain::{Budget, Window};
use crate::error::{Error, Result};
use crate::guard::{Policy, mask_secrets};
use crate::recorder::RecorderFile;
use crate::recorder::spool::Spool;
use crate::report::{Coverage, Document, Format, Page, Report, Scope, Style};
use crate::settings::{self, ConfigFile};
use crate::store::{Location, Store, Totals};
use chrono_tz::Tz;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// How a command ended, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: fine.
    Fine,
    /// 1: it was done, and something in it was wrong.
    Flawed,
    /// 3: spend is over a limit.
    Over,
    /// 4: there are unpriced calls, and `--strict` was given.
    Unpriced,
    /// 6: the guard found something.
    Found,
    /// 5: what was sent cannot be given back exactly, or a prompt version was changed.
    Mismatch,
    /// 7: the ledger is not migrated, and that was what was asked.
    NotMigrated,
    /// The code of the command that was wrapped.
    Child(u8),
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Flawed => 1,
            Self::Over => 3,
            Self::Unpriced => 4,
            Self::Mismatch => 5,
            Self::Found => 6,
            Self::NotMigrated => 7,
            Self::Child(code) => code,
        }
    }
}

/// What every command needs.
pub struct Ctx {
    pub(crate) clock: Clock,
    pub(crate) location: Location,
    config: ConfigFile,
    config_path: Option<PathBuf>,
    spool_max_bytes: u64,
    color: ColorChoice,
    ascii: bool,
}

/// Ledgers to report on.
pub(crate) struct Ledgers {
    /// Each with its schema, when several are asked.
    pub stores: Vec<(Option<String>, Store)>,
    /// Whether none was left out.
    pub is_whole: bool,
}

/// How many ledgers are asked at once.
const AT_ONCE: usize = 8;

impl Ledgers {
    /// Asks each, several at once. The answers come in the ledgers' order.
    pub(crate) async fn ask<T>(
        &self,
        ask: impl AsyncFn(&Store) -> Result<T>,
    ) -> Result<Vec<(Option<&str>, T)>> {
        let answers = stream::iter(&self.stores)
            .map(async |(schema, store)| Ok((schema.as_deref(), ask(store).await?)))
            .buffered(AT_ONCE);
        answers.try_collect().await
    }

    /// What a report is about, for its footer. The catalogue is said if all have the same.
    pub(crate) async fn scope(
        &self,
        ctx: &Ctx,
        window: Window,
        zone: (Tz, &'static str),
        totals: &Totals,
    ) -> Result<Scope> {
        let scopes = self.ask(async |store| ctx.scope(store, Some(window), zone, Some(totals)).await).await?;
        let mut scopes = scopes.into_iter().map(|(_, scope)| scope);
        let mut scope = scopes.next().unwrap_or_default();
        if scopes.any(|other| other.catalogue != scope.catalogue) {
            scope.catalogue = None;
        }
        Ok(scope)
    }

    /// How the command ends, if nothing else is wrong.
    pub(crate) fn exit(&self) -> Exit {
        if self.is_whole { Exit::Fine } else { Exit::Flawed }
    }
}

/// The width of tables that do not go to a terminal, unless `COLUMNS` says another.
const PLAIN_WIDTH: usize = 120;

impl Ctx {
    pub(crate) fn new(global: &GlobalArgs) -> Result<Self> {
        let folder = std::env::current_dir().unwrap_or_default();
        let (config, config_path) = settings::find(&folder)?;
        let given = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
        let url = match given(&global.database).or_else(|| config.database.clone()) {
            Some(url) => url,
            None => settings::default_database()?,
        };
        let schema =
            given(&global.schema).or_else(|| config.schema.clone()).unwrap_or_else(|| "asmm".to_owned());
        let clock = Clock::from_setting(given(&global.now).as_deref())?;
        // A wrong limit is said at once, not on the day when the ledger is away.
        let spool_max_bytes = config.recorder.spool_max_bytes()?;
        let location = Location::new(url, schema);
        let ascii = global.ascii || config.ascii;
        Ok(Self { clock, location, config, config_path, spool_max_bytes, color: global.color, ascii })
    }

    /// The same settings, for another ledger.
    pub(crate) fn at(&self, location: Location) -> Self {
        let Self { clock, spool_max_bytes, color, ascii, .. } = *self;
        let (config, config_path) = (self.config.clone(), self.config_path.clone());
        Self { clock, location, config, config_path, spool_max_bytes, color, ascii }
    }

    /// The ledger, ready for use. Names that were recorded through SQL are resolved and priced first.
    pub(crate) async fn store(&self) -> Result<Store> {
        priced(self.store_as_is().await?).await
    }

    /// The ledger that is meant, or with `all` every one of the database by its schema, ready for use. One that cannot be used is
    /// left out, with a warning.
    pub(crate) async fn ledgers(&self, all: bool) -> Result<Ledgers> {
        if !all {
            return Ok(Ledgers { stores: vec![(None, self.store().await?)], is_whole: true });
        }
        let mut ledgers = Ledgers { stores: Vec::new(), is_whole: true };
        let mut last = None;
        for (schema, opened) in Store::open_all(&self.location, self.clock).await? {
            let ready = match opened {
                Ok(store) => priced(store).await,
                Err(error) => Err(error),
            };
            match ready {
                Ok(store) => ledgers.stores.push((Some(schema), store)),
                Err(error) => {
                    say(&format!("warning: schema `{schema}` is left out: {error}"));
                    ledgers.is_whole = false;
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if ledgers.stores.is_empty() => Err(error),
            _ => Ok(ledgers),
        }
    }

    /// The ledger, ready for use, as it is.
    pub(crate) async fn store_as_is(&self) -> Result<Store> {
        Store::open(&self.location, self.clock).await
    }

    /// The zone of the report: `flag` is `--tz`.
    pub(crate) fn zone(&self, flag: Option<&str>) -> Result<(Tz, &'static str)> {
        super::zone::zone(flag, &self.config)
    }

    /// The guard's policy, as `asmm.yaml` has it.
    pub(crate) fn policy(&self) -> &Policy {
        &self.config.guard
    }

    /// The budgets that `asmm.yaml` has, by name.
    pub(crate) fn file_budgets(&self) -> Result<Vec<Budget>> {
        let zone = self.config.tz.as_deref();
        self.config.budgets.iter().map(|(name, budget)| budget.budget(name, zone)).collect()
    }

    /// How recorders work, as `asmm.yaml` has it.
    pub(crate) fn recorder(&self) -> &RecorderFile {
        &self.config.recorder
    }

    /// The `asmm.yaml` that was found.
    pub(crate) fn config_path(&self) -> Option<&Path> {
        self.config_path.as_deref()
    }

    /// The most that waits on disk, in bytes.
    pub(crate) fn spool_max_bytes(&self) -> u64 {
        self.spool_max_bytes
    }

    /// Where what cannot be recorded waits.
    pub(crate) fn spool(&self) -> Result<Spool> {
        Spool::of(&self.location, None, self.spool_max_bytes)
    }

    /// What a report is about, for its footer.
    pub(crate) async fn scope(
        &self,
        store: &Store,
        window: Option<Window>,
        zone: (Tz, &'static str),
        totals: Option<&Totals>,
    ) -> Result<Scope> {
        Ok(Scope {
            window,
            against: None,
            zone: Some(zone.0),
            zone_source: Some(zone.1.to_owned()),
            catalogue: store.catalogue_version().await?,
            coverage: totals.map(|t| Coverage {
                priced: t.llm_calls.saturating_sub(t.unpriced_calls),
                calls: t.llm_calls,
            }),
        })
    }

    /// How the terminal looks.
    pub(crate) fn style(&self) -> Style {
        let terminal = io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse::<usize>().ok()).filter(|c| *c > 0);
        let measured =
            terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)).filter(|_| terminal);
        let color = match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Style {
            width: columns.or(measured).unwrap_or(PLAIN_WIDTH).clamp(30, 400),
            color,
            unicode: !self.ascii && speaks_unicode(terminal, |name| std::env::var(name).ok()),
        }
    }

    /// Writes a report to stdout.
    pub(crate) fn print(&self, report: &Report, format: Format) -> Result<()> {
        quiet_if_closed(report.write(&mut io::stdout().lock(), format, self.style()))
    }

    /// Writes a page to stdout.
    pub(crate) fn print_page(page: &Page) -> Result<()> {
        quiet_if_closed(page.write(&mut io::stdout().lock()))
    }

    /// Writes a document to stdout.
    pub(crate) fn print_document(&self, document: &Document, format: Format) -> Result<()> {
        quiet_if_closed(document.write(&mut io::stdout().lock(), format, self.style()))
    }
}

/// Resolves and prices what was recorded through SQL, and says so.
async fn priced(store: Store) -> Result<Store> {
    let now = store.price_new_names().await?;
    if now.calls > 0 {
        let calls = counted(now.calls, "call recorded through SQL is", "calls recorded through SQL are");
        say(&format!("{calls} priced now: {} USD", now.after));
    }
    Ok(store)
}

/// Whether the locale is one of UTF-8, and the terminal, if it is one, can show it: a dumb one promises nothing, and the
/// fonts of Linux's console lack most blocks. A locale that is not set at all is taken for UTF-8: containers set none.
fn speaks_unicode(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let poor = terminal && variable("TERM").is_some_and(|name| matches!(name.as_str(), "dumb" | "linux"));
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    !poor && locale.is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

/// A reader that has gone away (`| head`) is no failure.
fn quiet_if_closed(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}

/// Whether the cause of an error is a closed pipe.
pub(crate) fn is_closed_pipe(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes one line of data to stdout.
pub(crate) fn print_line(line: &str) -> Result<()> {
    let outcome =
        writeln!(io::stdout().lock(), "{line}").map_err(|e| Error::io("stdout cannot be written", e));
    quiet_if_closed(outcome)
}

/// Writes text that ends in a line's end to stdout.
pub(crate) fn print_text(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let outcome = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    quiet_if_closed(outcome.map_err(|e| Error::io("stdout cannot be written", e)))
}

/// A number and what it counts: `1 call`, `2 calls`.
pub(crate) fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A progress bar on stderr, if that is a terminal.
pub(crate) fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Writes one line for people to stderr. That stderr is closed is nobody's concern.
///
/// What complains of a text of somebody else may repeat a part of it: a secret in it is not shown.
pub(crate) fn say(line: &str) {
    let complains = ["error: ", "warning: ", "skipped: "].iter().any(|word| line.starts_with(word));
    let line = if complains { Cow::Owned(mask_secrets(line)) } else { Cow::Borrowed(line) };
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::speaks_unicode;

    #[test]
    fn only_a_terminal_that_can_show_it_gets_unicode() {
        let says = |terminal: bool, set: &[(&str, &str)]| {
            speaks_unicode(terminal, |name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(says(true, &[]), "containers set nothing");
        assert!(says(true, &[("LANG", "de_DE.UTF-8"), ("TERM", "xterm-256color")]));
        assert!(says(true, &[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]), "what is empty is not set");
        assert!(!says(true, &[("LANG", "C")]));
        assert!(!says(true, &[("LC_ALL", "POSIX"), ("LANG", "en_US.UTF-8")]), "the first counts");
        for poor in ["dumb", "linux"] {
            assert!(!says(true, &[("LANG", "en_US.UTF-8"), ("TERM", poor)]));
            assert!(says(false, &[("LANG", "en_US.UTF-8"), ("TERM", poor)]), "a file is no terminal");
        }
    }
}
