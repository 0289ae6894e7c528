//! Settings: a flag, then the environment, then `asmm.yaml` found upward from the working directory, then
//! the default.

#[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "budgets are set from the command line"))]
pub(crate) mod budgets;
pub(crate) mod key;
#[cfg(feature = "cli")]
pub(crate) mod schema;

use crate::error::{Error, Result, without_value};
use crate::guard::Policy;
use crate::recorder::RecorderFile;
use budgets::BudgetFile;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file's name.
pub(crate) const FILE: &str = "asmm.yaml";
/// Larger files are no settings.
const MAX_BYTES: u64 = 1 << 20;

/// What `asmm.yaml` may hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// The ledger: `postgres://…` or `sqlite:PATH`; a relative path is relative to the file.
    pub database: Option<String>,
    /// The Postgres schema.
    pub schema: Option<String>,
    /// The time zone whose days reports show.
    pub tz: Option<String>,
    /// Whether to draw with ASCII alone.
    pub ascii: bool,
    /// The guard's policy.
    pub guard: Policy,
    /// How recorders work.
    pub recorder: RecorderFile,
    /// What may be spent, by the budgets' names.
    pub budgets: BTreeMap<String, BudgetFile>,
}

/// The nearest `asmm.yaml`, from `start` upward, and where it is.
pub(crate) fn find(start: &Path) -> Result<(ConfigFile, Option<PathBuf>)> {
    let Some(path) = start.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file()) else {
        return Ok((ConfigFile::default(), None));
    };
    let shown = path.display().to_string();
    let failed = |e| Error::io(format!("`{shown}` cannot be read"), e);
    if path.metadata().map_err(failed)?.len() > MAX_BYTES {
        return Err(
            Error::input(format!("`{shown}` is larger than 1 MiB")).hint("it should hold a few settings")
        );
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    if text.trim().is_empty() {
        return Ok((ConfigFile::default(), Some(path)));
    }
    let mut config: ConfigFile = serde_yaml::from_str(&text).map_err(|e| {
        Error::input(format!("`{shown}`: {}", without_value(&e.to_string())))
            .hint("it may hold `database`, `schema`, `tz`, `ascii`, `guard`, `recorder` and `budgets`")
    })?;
    if let Some(file) = config.database.as_deref().and_then(|url| url.strip_prefix("sqlite:"))
        && let Some(folder) = path.parent()
    {
        let file = file.strip_prefix("//").unwrap_or(file);
        config.database = Some(format!("sqlite:{}", folder.join(file).display()));
    }
    Ok((config, Some(path)))
}

/// What an `asmm.yaml` that was read before holds, word by word: `recorder.level`, `guard.kinds`. Sections of the schema are gone
/// into; whatever else is a map or a list is one value, written as JSON.
#[cfg(feature = "cli")]
pub(crate) fn leaves(path: &Path) -> Result<BTreeMap<String, String>> {
    let failed = |e| Error::io(format!("`{}` cannot be read", path.display()), e);
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let file: serde_json::Value = serde_yaml::from_str(&text)
        .map_err(|e| Error::input(format!("`{}`: {}", path.display(), without_value(&e.to_string()))))?;
    let known = schema::keys();
    let is_section = |path: &str| known.iter().any(|key| key.path.starts_with(&format!("{path}.")));
    let mut leaves = BTreeMap::new();
    let mut left = vec![(String::new(), &file)];
    while let Some((above, value)) = left.pop() {
        for (name, inner) in value.as_object().into_iter().flatten() {
            let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            match inner {
                // A setting without a value is one that is not there.
                serde_json::Value::Null => {}
                inner if is_section(&path) => left.push((path, inner)),
                inner => drop(leaves.insert(path, leaf_text(inner))),
            }
        }
    }
    Ok(leaves)
}

/// A value as people write it.
#[cfg(feature = "cli")]
pub(crate) fn leaf_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The ledger when nothing names one: one file per user, in the place the XDG specification gives data.
pub(crate) fn default_database() -> Result<String> {
    let folder = data_home()?.join("asmm");
    Ok(format!("sqlite:{}", folder.join("ledger.db").display()))
}

/// `XDG_DATA_HOME`, or `~/.local/share`.
pub(crate) fn data_home() -> Result<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share")
}

/// `XDG_CONFIG_HOME`, or `~/.config`.
pub(crate) fn config_home() -> Result<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config")
}

/// `XDG_STATE_HOME`, or `~/.local/state`.
pub(crate) fn state_home() -> Result<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state")
}

/// `XDG_CACHE_HOME`, or `~/.cache`.
pub(crate) fn cache_home() -> Result<PathBuf> {
    xdg("XDG_CACHE_HOME", ".cache")
}

fn xdg(variable: &str, fallback: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set(variable).filter(|path| path.is_absolute()) {
        return Ok(folder);
    }
    set("HOME").map(|home| home.join(fallback)).ok_or_else(|| {
        Error::usage("there is no home folder to keep the ledger in")
            .hint("name the ledger with --database (ASMM_DATABASE_URL), or set HOME")
    })
}
