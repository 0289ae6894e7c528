//! Finding prompt files, and reading all of them before anything is done with any.

use super::complain;
use crate::cli::context::counted;
use crate::domain::Digest;
use crate::error::{Error, Result};
use crate::prompt::{MAX_FILE_BYTES, PromptFile, parse_file};
use crate::store::NewVersion;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where prompts are looked for when nothing is named.
pub(super) const DEFAULT_FOLDER: &str = "prompts";
/// More files than that are no folder of prompts.
const MAX_FILES: usize = 10_000;

/// A prompt and the file it was read from.
pub(super) struct FoundPrompt {
    pub path: PathBuf,
    pub prompt: PromptFile,
    pub digest: Digest,
    pub canonical: String,
}

impl FoundPrompt {
    /// As it is pushed.
    pub fn version(&self) -> NewVersion {
        NewVersion {
            name: self.prompt.name.clone(),
            description: self.prompt.description.clone(),
            digest: self.digest,
            content: self.canonical.clone(),
            source: self.prompt.source.clone(),
        }
    }

    /// The file's name, for people.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

/// The paths that were given, or the default one.
pub(super) fn or_default(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    if paths.is_empty() { vec![PathBuf::from(DEFAULT_FOLDER)] } else { paths }
}

/// Reads and checks all the files. What is wrong with each is said on stderr; then nothing of them may be used.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<FoundPrompt>> {
    let files = Search::of(paths)?;
    let mut found = Vec::with_capacity(files.len());
    let mut wrong = 0_usize;
    for path in &files {
        match read(path) {
            Ok(prompt) => found.push(prompt),
            Err(error) => {
                complain(&error);
                wrong += 1;
            }
        }
    }
    let twice = names_twice(&found);
    twice.iter().for_each(complain);
    if wrong > 0 {
        let all = counted(files.len(), "file", "files");
        let verb = if wrong == 1 { "is" } else { "are" };
        return Err(Error::input(format!("{wrong} of {all} {verb} wrong"))
            .hint("correct what is named above: nothing is pushed unless all files are good"));
    }
    if !twice.is_empty() {
        let names = counted(twice.len(), "prompt has", "prompts have");
        return Err(Error::input(format!("{names} more than one file"))
            .hint("the `name` in the file is the prompt's identity: rename one, or delete it"));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<FoundPrompt> {
    let shown = path.display().to_string();
    let failed = |e| Error::io(format!("`{shown}` cannot be read"), e).hint("check its permissions");
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    let prompt = parse_file(&shown, &bytes)?;
    let canonical = prompt.content.canonical().map_err(|e| e.at(&shown))?;
    Ok(FoundPrompt { path: path.to_owned(), digest: Digest::of(&canonical), canonical, prompt })
}

/// An error for each name that more than one file has.
fn names_twice(found: &[FoundPrompt]) -> Vec<Error> {
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for prompt in found {
        files.entry(&prompt.prompt.name).or_default().push(format!("`{}`", prompt.shown()));
    }
    let twice = files.into_iter().filter(|(_, files)| files.len() > 1);
    twice
        .map(|(name, files)| Error::input(format!("prompt `{name}` is in {}", files.join(" and in "))))
        .collect()
}

/// The search for files.
#[derive(Default)]
struct Search {
    files: Vec<PathBuf>,
    /// What was seen, links followed, so that no file is read twice and a loop of links ends.
    seen: BTreeSet<PathBuf>,
}

impl Search {
    fn of(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut search = Self::default();
        for path in paths {
            let found = std::fs::canonicalize(path).and_then(|whole| Ok((path.metadata()?.is_dir(), whole)));
            let (is_folder, whole) = found.map_err(|e| missing(path, e))?;
            if is_folder {
                search.folder(path.clone(), whole)?;
            } else if search.seen.insert(whole) {
                search.add(path.clone())?;
            }
        }
        if search.files.is_empty() {
            let shown: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
            return Err(Error::input(format!("there are no prompt files in {}", shown.join(", ")))
                .hint("prompts are files named *.yaml or *.yml"));
        }
        Ok(search.files)
    }

    /// The files of a folder, then those of the folders in it, each in the order of their names.
    fn folder(&mut self, folder: PathBuf, whole: PathBuf) -> Result<()> {
        let mut waiting = vec![(folder, whole)];
        while let Some((folder, whole)) = waiting.pop() {
            if !self.seen.insert(whole) {
                continue;
            }
            let failed = |e| Error::io(format!("the folder `{}` cannot be read", folder.display()), e);
            let mut folders = Vec::new();
            for path in names(&folder).map_err(failed)? {
                // A link to nowhere is nobody's prompt.
                let (Ok(metadata), Ok(whole)) = (path.metadata(), path.canonicalize()) else { continue };
                if metadata.is_dir() {
                    folders.push((path, whole));
                } else if metadata.is_file() && is_yaml(&path) && self.seen.insert(whole) {
                    self.add(path)?;
                }
            }
            waiting.extend(folders.into_iter().rev());
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        if self.files.len() == MAX_FILES {
            return Err(Error::input(format!("there are more than {MAX_FILES} prompt files"))
                .hint("is it the right folder? name fewer files at once"));
        }
        self.files.push(path);
        Ok(())
    }
}

/// What is in a folder, in order, without what is hidden.
fn names(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !name.to_string_lossy().starts_with('.') {
            paths.push(folder.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

fn missing(path: &Path, error: std::io::Error) -> Error {
    let hint = if path == Path::new(DEFAULT_FOLDER) {
        "name the files or the folder that holds your prompts"
    } else {
        "name a file or a folder that is there"
    };
    Error::io(format!("`{}` cannot be read", path.display()), error).hint(hint)
}
