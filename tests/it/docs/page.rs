//! A document: its commands, and what it says they print.

use std::collections::BTreeMap;

/// Stands for what differs from run to run.
const ANYTHING: &str = "[..]";

/// What is done in a sandbox.
pub enum Step {
    /// A file is written.
    File { name: String, contents: String },
    /// A command is run.
    Command(Command),
}

/// A command, and the lines it is said to print.
#[derive(Clone)]
pub struct Command {
    /// The index of its first line in the document.
    pub line: usize,
    /// What the shell is given.
    pub text: String,
    /// The indices of the expected output's lines: from, and up to.
    output: (usize, usize),
}

/// What runs in one sandbox.
pub struct Section {
    pub name: String,
    pub postgres: bool,
    pub placeholder: bool,
    /// Programs it needs that are not everywhere.
    pub needs: Vec<String>,
    pub steps: Vec<Step>,
}

/// A document.
pub struct Page {
    name: String,
    lines: Vec<String>,
    pub sections: Vec<Section>,
    /// What commands really printed, by [`Command::line`].
    pub outputs: BTreeMap<usize, String>,
}

impl Page {
    /// Reads a document.
    ///
    /// # Panics
    ///
    /// When a block belongs to no sandbox or does not begin with a command.
    pub fn parse(name: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut sections: Vec<Section> = Vec::new();
        let mut current = None;
        let mut file: Option<String> = None;
        let mut at = 0;
        while at < lines.len() {
            let line = &lines[at];
            if let Some(words) = comment(line, "run:") {
                current = Some(open_section(&mut sections, words));
            } else if let Some(name) = comment(line, "file:") {
                file = Some(name.to_owned());
            } else if let Some(kind) = line.strip_prefix("```") {
                let end = at + 1 + lines[at + 1..].iter().position(|l| l == "```").expect("a block ends");
                let place = || format!("{name}:{}", at + 1);
                if let Some(name) = file.take() {
                    let contents = lines[at + 1..end].join("\n") + "\n";
                    let section = current.unwrap_or_else(|| panic!("{}: a file without `run`", place()));
                    sections[section].steps.push(Step::File { name, contents });
                } else if kind == "console" {
                    let section = current.unwrap_or_else(|| panic!("{}: a block without `run`", place()));
                    let commands = commands(&lines, at + 1, end);
                    assert!(!commands.is_empty(), "{}: a block without a command", place());
                    sections[section].steps.extend(commands.into_iter().map(Step::Command));
                }
                at = end;
            }
            at += 1;
        }
        Self { name: name.to_owned(), lines, sections, outputs: BTreeMap::new() }
    }

    fn commands(&self) -> impl Iterator<Item = &Command> {
        self.sections.iter().flat_map(|s| &s.steps).filter_map(|step| match step {
            Step::Command(command) => Some(command),
            Step::File { .. } => None,
        })
    }

    /// Where the document does not say what commands printed.
    pub fn differences(&self) -> Vec<String> {
        let wrong = self.commands().filter_map(|command| {
            let actual = self.outputs.get(&command.line)?;
            let (from, until) = command.output;
            let expected = &self.lines[from..until];
            let same = expected.len() == actual.lines().count()
                && expected.iter().zip(actual.lines()).all(|(pattern, line)| fits(pattern, line));
            (!same).then(|| {
                format!(
                    "{}:{}: $ {}\n--- the document ---\n{}\n--- the program ---\n{actual}",
                    self.name,
                    command.line + 1,
                    command.text,
                    expected.join("\n"),
                )
            })
        });
        wrong.collect()
    }

    /// The document with what commands printed. A line that fits is kept, so that `[..]` stays.
    pub fn updated(&self) -> String {
        let mut lines = self.lines.clone();
        let mut commands: Vec<&Command> = self.commands().collect();
        commands.sort_by_key(|command| command.line);
        for command in commands.into_iter().rev() {
            let Some(actual) = self.outputs.get(&command.line) else { continue };
            let (from, until) = command.output;
            let old = self.lines[from..until].to_vec();
            let new = actual.lines().map(|line| {
                let kept = old.iter().find(|pattern| pattern.contains(ANYTHING) && fits(pattern, line));
                kept.cloned().unwrap_or_else(|| line.to_owned())
            });
            lines.splice(from..until, new.collect::<Vec<_>>());
        }
        lines.join("\n") + "\n"
    }
}

fn comment<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    Some(line.strip_prefix("<!--")?.strip_suffix("-->")?.trim().strip_prefix(key)?.trim())
}

fn open_section(sections: &mut Vec<Section>, words: &str) -> usize {
    let mut words = words.split_whitespace().map(str::to_owned);
    let name = words.next().expect("`run` has a name");
    if let Some(place) = sections.iter().position(|section| section.name == name) {
        return place;
    }
    let (known, needs): (Vec<_>, Vec<_>) =
        words.partition(|word| word == "postgres" || word == "placeholder");
    sections.push(Section {
        name,
        postgres: known.iter().any(|word| word == "postgres"),
        placeholder: known.iter().any(|word| word == "placeholder"),
        needs,
        steps: Vec::new(),
    });
    sections.len() - 1
}

fn commands(lines: &[String], from: usize, until: usize) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut at = from;
    while at < until {
        let Some(first) = lines[at].strip_prefix("$ ") else {
            at += 1;
            continue;
        };
        let line = at;
        let mut text = first.to_owned();
        at += 1;
        while let Some(more) = lines[at].strip_prefix("> ").filter(|_| at < until) {
            text.push('\n');
            text.push_str(more);
            at += 1;
        }
        let begin = at;
        while at < until && !lines[at].starts_with("$ ") {
            at += 1;
        }
        commands.push(Command { line, text, output: (begin, at) });
    }
    commands
}

/// Whether a line of a document is the line of a program.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split(ANYTHING);
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    true
}

/// The targets of a document's links.
pub fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|after| after.split(')').next())
}

/// What GitHub makes of a document's headings.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn a_pattern_fits_what_it_says() {
    assert!(fits("a b", "a b"));
    assert!(!fits("a b", "a b c"));
    assert!(fits("at [..] UTC", "at 12:00 UTC"));
    assert!(fits("[..] and [..]", "this and that"));
    assert!(!fits("[..] and [..]!", "this and that"));
    assert!(fits("[..]", ""));
}
