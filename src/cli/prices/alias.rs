//! `asmm prices alias`: what a reported name means.

use super::{named, say_priced};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit, say};
use crate::error::{Error, Result};
use crate::pricing::EntryKey;
use crate::report::{Column, Empty, Kind, Report, Scope, Table};
use crate::store::{Alias, Store};
use clap::Args;

/// Say which price a reported model name means
#[derive(Debug, Args)]
pub(crate) struct AliasArgs {
    /// The name as reported: MODEL or PROVIDER/MODEL; none lists what names mean
    name: Option<String>,
    /// The price it means: PROVIDER/MODEL of the catalogue
    #[arg(conflicts_with = "remove")]
    target: Option<String>,
    /// Take the alias back
    #[arg(long, requires = "name")]
    remove: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(ctx: &Ctx, args: AliasArgs) -> Result<Exit> {
    let store = ctx.store().await?;
    let Some(name) = &args.name else { return list_aliases(ctx, &store, &args.output).await };
    let (provider, model) = reported_name(&store, name).await?;
    let target = match (&args.target, args.remove) {
        (Some(target), false) => Some(entry_key(target)?),
        (None, true) => None,
        _ => {
            return Err(Error::usage("the alias has no target")
                .hint("asmm prices alias NAME PROVIDER/MODEL, or asmm prices alias NAME --remove"));
        }
    };
    let priced = store.set_alias(&provider, &model, target.as_ref()).await?;
    match target {
        Some(key) => say(&format!("`{name}` is priced as {}/{}", key.provider, key.model)),
        None => say(&format!("`{name}` has no alias of yours any more")),
    }
    say_priced(priced);
    Ok(Exit::Fine)
}

/// A name given as `MODEL` (of any provider) or `PROVIDER/MODEL`. Models have slashes too, so a name that was
/// reported as a whole is taken as that.
async fn reported_name(store: &Store, name: &str) -> Result<(String, String)> {
    let known = store.aliases().await?;
    if let Some((provider, model)) = name.split_once('/')
        && !known.iter().any(|a| a.model == name)
    {
        return Ok((provider.to_owned(), model.to_owned()));
    }
    Ok((String::new(), name.to_owned()))
}

fn entry_key(text: &str) -> Result<EntryKey> {
    text.split_once('/').map(|(provider, model)| EntryKey::new(provider, model)).ok_or_else(|| {
        Error::usage(format!("`{text}` is not PROVIDER/MODEL"))
            .hint("`asmm prices list` shows providers and models, such as openai/gpt-4o")
    })
}

async fn list_aliases(ctx: &Ctx, store: &Store, output: &OutputArgs) -> Result<Exit> {
    let aliases: Vec<Alias> = store.aliases().await?;
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(&aliases)
        .column(text("provider", "reported by"), |a: &Alias| named(&a.provider))
        .column(text("model", "as model"), |a| a.model.clone())
        .column(text("target_provider", "priced as"), |a| a.target_provider.clone())
        .column(text("target_model", "model"), |a| a.target_model.clone())
        .column(text("origin", "says"), |a| a.origin.clone())
        .done();
    let scope = Scope { catalogue: store.catalogue_version().await?, ..Scope::default() };
    let empty =
        Empty { what: "names".to_owned(), next_step: "names appear here when calls are recorded".to_owned() };
    ctx.print(&Report { scope, empty, ..Report::new("asmm.prices_alias/1", table) }, output.format.into())?;
    Ok(Exit::Fine)
}
