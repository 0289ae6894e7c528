//! `asmm guard scan`: findings in files, without their values.

use super::rules::GroupArg;
use super::sarif;
use crate::cli::context::{Ctx, Exit, counted, is_closed_pipe, say};
use crate::domain::Decision;
use crate::error::{Error, Result};
use crate::guard::{Finding, Group, MAX_TEXT_BYTES, Options, Policy, Scanner, rule_info};
use crate::intake::lines::Lines;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Look for secrets and personal data in files: for CI, and by hand
///
/// Folders are searched whole, but for .git; binary files are passed over. No value is ever printed. The exit code is
/// 6 when something was found, 1 when a file could not be read. What is only a suspicion is shown with --suspicions,
/// and fails nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  asmm guard scan prompts\n  git diff --cached --name-only -z --diff-filter=d | xargs -0 -r asmm guard scan\n  asmm guard scan --format sarif . >guard.sarif"
)]
pub(crate) struct ScanArgs {
    /// Files and folders; `-` is stdin
    #[arg(value_name = "PATH", default_value = "-")]
    paths: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ScanFormat::Text)]
    format: ScanFormat,
    /// Read lines of {"id": …, "text": …}, and write a line {"id": …, "findings": […]} for each
    #[arg(long, conflicts_with = "format")]
    jsonl: bool,
    /// Look only for this group; may be given again
    #[arg(long, value_enum, value_name = "GROUP")]
    group: Vec<GroupArg>,
    /// Pass over what this detector finds; may be given again
    #[arg(long, value_name = "DETECTOR")]
    ignore: Vec<String>,
    /// Also look for what has no structure to check: birth dates, hardware addresses
    #[arg(long)]
    soft: bool,
    /// Also show words that look random and that nothing names
    #[arg(long)]
    suspicions: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScanFormat {
    /// A line a finding: file, line and column, detector, what it is
    Text,
    /// One object with all findings
    Json,
    /// SARIF 2.1.0, which code hosts show
    Sarif,
}

/// A finding in a file.
#[derive(Serialize)]
pub(super) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub detector: &'static str,
    pub group: &'static str,
    pub tier: &'static str,
    pub severity: &'static str,
    pub start: usize,
    pub end: usize,
    pub line: usize,
    pub column: usize,
    /// Line and column after its last character.
    #[serde(skip)]
    pub until: (usize, usize),
    #[serde(skip)]
    pub decision: Decision,
}

/// All findings, as one object.
#[derive(Serialize)]
struct Findings<'a> {
    findings: &'a [Found],
}

/// What a scan looks for.
struct Look<'a> {
    scanner: Scanner,
    policy: &'a Policy,
    groups: Vec<Group>,
    ignored: &'a [String],
}

/// What became of the files.
#[derive(Default)]
struct Tally {
    files: u64,
    binary: u64,
    failed: u64,
    findings: u64,
    has_failing: bool,
    /// Where a finding is written as soon as it is there; else they are kept.
    is_written: bool,
    kept: Vec<Found>,
}

pub(super) fn run(ctx: &Ctx, args: &ScanArgs) -> Result<Exit> {
    if let Some(unknown) = args.ignore.iter().find(|id| rule_info(id).is_none()) {
        let shown: String = unknown.chars().take(60).collect();
        return Err(Error::usage(format!("--ignore `{shown}` is no detector"))
            .hint("`asmm guard rules` lists the detectors"));
    }
    let options = Options { national_ids: true, soft: args.soft, suspicion: args.suspicions };
    let look = Look {
        scanner: Scanner::new(&options),
        policy: ctx.policy(),
        groups: args.group.iter().map(|group| Group::from(*group)).collect(),
        ignored: &args.ignore,
    };
    if args.jsonl {
        return jsonl(&look, &args.paths);
    }
    let mut tally = Tally { is_written: args.format == ScanFormat::Text, ..Tally::default() };
    for path in &args.paths {
        match visit(&look, path, true, &mut tally) {
            // Whoever reads has seen enough.
            Err(error) if is_closed_pipe(&error) => return Ok(Exit::Found),
            outcome => outcome?,
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = match args.format {
        ScanFormat::Text => Ok(()),
        ScanFormat::Json => write_line(&mut out, &Findings { findings: &tally.kept }),
        ScanFormat::Sarif => write_line(&mut out, &sarif::log(&tally.kept)),
    };
    quiet_if_closed(written.and_then(|()| flush(&mut out)))?;
    if args.format == ScanFormat::Text {
        let passed = if tally.binary > 0 {
            format!(", {} passed over", counted(tally.binary, "binary file", "binary files"))
        } else {
            String::new()
        };
        let (found, files) =
            (counted(tally.findings, "finding", "findings"), counted(tally.files, "file", "files"));
        say(&format!("{found} in {files}{passed}"));
    }
    Ok(match (tally.has_failing, tally.failed) {
        (true, _) => Exit::Found,
        (false, 0) => Exit::Fine,
        (false, _) => Exit::Flawed,
    })
}

/// Whether something was found that is more than a suspicion.
fn failing(found: &[Found]) -> bool {
    found.iter().any(|found| found.decision.hides() || found.tier != "suspicion")
}

/// Scans a file, or a folder's files in the order of their names. What cannot be read is said, and does not stop the
/// rest; that nobody reads any more does.
fn visit(look: &Look<'_>, path: &Path, is_named: bool, tally: &mut Tally) -> Result<()> {
    let outcome = match std::fs::symlink_metadata(path) {
        Ok(_) if path.is_dir() && (is_named || !path.is_symlink()) => visit_folder(look, path, tally),
        // A link that was found on the way may lead anywhere, and a pipe or device may never end.
        Ok(metadata) if !is_named && !metadata.is_file() => return Ok(()),
        _ => scan_file(look, path, tally),
    };
    match outcome {
        Err(error) if !is_closed_pipe(&error) => {
            tally.failed += 1;
            say(&format!("error: {error}"));
            if let Some(hint) = error.next_step() {
                say(&format!("hint: {hint}"));
            }
            Ok(())
        }
        outcome => outcome,
    }
}

fn visit_folder(look: &Look<'_>, path: &Path, tally: &mut Tally) -> Result<()> {
    let failed = |e| Error::io(format!("`{}` cannot be read", path.display()), e);
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .map_err(failed)?;
    entries.sort();
    for entry in entries.iter().filter(|entry| entry.file_name().is_some_and(|name| name != ".git")) {
        visit(look, entry, false, tally)?;
    }
    Ok(())
}

fn scan_file(look: &Look<'_>, path: &Path, tally: &mut Tally) -> Result<()> {
    let is_stdin = path.as_os_str() == "-";
    let shown = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let failed = |e| Error::io(format!("`{shown}` cannot be read"), e);
    let mut input: Box<dyn Read> =
        if is_stdin { Box::new(std::io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_TEXT_BYTES).unwrap_or(u64::MAX);
    input.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.iter().take(8 << 10).any(|byte| *byte == 0) {
        tally.binary += 1;
        return Ok(());
    }
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(Error::input(format!("`{shown}` is longer than {MAX_TEXT_BYTES} bytes"))
            .hint("split it, or leave it out; with --jsonl each line is a text of its own"));
    }
    // Bytes that are no UTF-8 become `?`, one for one: the findings' places stay.
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => plain(error.into_bytes()),
    };
    tally.files += 1;
    let file = if is_stdin { None } else { Some(shown) };
    let found = look.findings(&text, file.as_deref())?;
    tally.findings += u64::try_from(found.len()).unwrap_or(u64::MAX);
    tally.has_failing |= failing(&found);
    if tally.is_written {
        let mut out = BufWriter::new(std::io::stdout().lock());
        return write_text(&mut out, &found).and_then(|()| flush(&mut out));
    }
    tally.kept.extend(found);
    Ok(())
}

/// The text with every byte that is not part of a character replaced.
fn plain(mut bytes: Vec<u8>) -> String {
    let mut from = 0;
    while let Err(error) = std::str::from_utf8(&bytes[from..]) {
        let start = from + error.valid_up_to();
        let length = error.error_len().unwrap_or(bytes.len() - start);
        bytes[start..start + length].fill(b'?');
        from = start + length;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Look<'_> {
    fn findings(&self, text: &str, file: Option<&str>) -> Result<Vec<Found>> {
        let findings = self.scanner.scan(text)?;
        let wanted = |finding: &&Finding| {
            (self.groups.is_empty() || self.groups.contains(&finding.group))
                && !self.ignored.iter().any(|id| id == finding.detector)
        };
        let mut place = Place::new(text);
        Ok(findings.iter().filter(wanted).map(|finding| self.found(finding, &mut place, file)).collect())
    }

    fn found(&self, finding: &Finding, place: &mut Place<'_>, file: Option<&str>) -> Found {
        let (line, column) = place.of(finding.range.start);
        Found {
            file: file.map(str::to_owned),
            detector: finding.detector,
            group: finding.group.as_str(),
            tier: finding.tier.as_str(),
            severity: rule_info(finding.detector).map_or("medium", |rule| rule.severity.as_str()),
            start: finding.range.start,
            end: finding.range.end,
            line,
            column,
            until: place.of(finding.range.end),
            decision: self.policy.decide(finding),
        }
    }
}

/// Line and column of places that come in order: the text is read once.
struct Place<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    line_start: usize,
}

impl<'t> Place<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1, line_start: 0 }
    }

    fn of(&mut self, offset: usize) -> (usize, usize) {
        for newline in memchr::memchr_iter(b'\n', &self.text.as_bytes()[self.at..offset]) {
            self.line += 1;
            self.line_start = self.at + newline + 1;
        }
        self.at = offset;
        let column = self.text.get(self.line_start..offset).map_or(1, |before| before.chars().count() + 1);
        (self.line, column)
    }
}

fn write_text(out: &mut impl Write, found: &[Found]) -> Result<()> {
    for found in found {
        let file = found.file.as_deref().unwrap_or("stdin");
        let what = rule_info(found.detector).map_or("", |rule| rule.description);
        let (line, column, detector) = (found.line, found.column, found.detector);
        writeln!(out, "{file}:{line}:{column}: {detector} ({}, {}): {what}", found.tier, found.severity)
            .map_err(|e| Error::io("stdout cannot be written", e))?;
    }
    Ok(())
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, value)
        .map_err(std::io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .map_err(|e| Error::io("stdout cannot be written", e))
}

fn flush(out: &mut impl Write) -> Result<()> {
    out.flush().map_err(|e| Error::io("stdout cannot be written", e))
}

fn quiet_if_closed(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}

/// A line of `--jsonl`. Other keys are passed over.
#[derive(Deserialize)]
struct TextLine {
    #[serde(default)]
    id: serde_json::Value,
    text: String,
}

#[derive(Serialize)]
struct Answer {
    id: serde_json::Value,
    findings: Vec<Found>,
}

fn jsonl(look: &Look<'_>, paths: &[PathBuf]) -> Result<Exit> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut has_found, mut failed) = (false, 0_u64);
    for path in paths {
        let outcome = jsonl_of(look, path, &mut out, &mut failed);
        match outcome {
            Ok(found) => has_found |= found,
            Err(error) if is_closed_pipe(&error) => return Ok(Exit::Fine),
            Err(error) => return Err(error),
        }
    }
    quiet_if_closed(flush(&mut out))?;
    Ok(match (has_found, failed) {
        (true, _) => Exit::Found,
        (false, 0) => Exit::Fine,
        (false, _) => Exit::Flawed,
    })
}

fn jsonl_of(look: &Look<'_>, path: &Path, out: &mut impl Write, failed: &mut u64) -> Result<bool> {
    let shown = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
    let unreadable = |e| Error::io(format!("`{shown}` cannot be read"), e);
    let input: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(unreadable)?)
    };
    let mut lines = Lines::new(input).map_err(unreadable)?;
    let mut has_found = false;
    while let Some(line) = lines.next_line().map_err(unreadable)? {
        let number = line.number;
        let answer = match line.text {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => answer(look, text),
            Err(bad) => Err(Error::input(bad.to_string())),
        };
        match answer {
            Ok(answer) => {
                has_found |= failing(&answer.findings);
                write_line(out, &answer)?;
            }
            Err(error) => {
                *failed += 1;
                say(&format!("error: `{shown}`:{number}: {error}"));
            }
        }
    }
    Ok(has_found)
}

fn answer(look: &Look<'_>, line: &str) -> Result<Answer> {
    // What serde says of a wrong line may hold a part of it.
    let line: TextLine = serde_json::from_str(line)
        .map_err(|e| Error::input(format!("column {}: the line is no object with a `text`", e.column())))?;
    Ok(Answer { id: line.id, findings: look.findings(&line.text, None)? })
}
