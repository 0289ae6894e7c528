//! One file: the session that it is of, and the responses it tells of, in order.

use super::line::{self, Read, Tokens};
use crate::domain::{MAX_NAME_CHARS, Timestamp, TokenUsage};
use crate::intake::Complaints;
use crate::intake::files::{self, Found};
use crate::intake::lines::Lines;
use std::fs::File;
use std::sync::Arc;

/// Lines between two words of progress.
const PROGRESS_LINES: u64 = 256;

/// What a file tells.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    /// The session's id, or the file's name where it has none.
    pub thread: String,
    pub forked_from: Option<String>,
    /// The thread that started this one.
    pub parent: Option<String>,
    pub pipeline: String,
    pub agent: String,
    pub provider: String,
    /// When the session started, or was forked.
    pub started_at: Option<Timestamp>,
    pub last_line: Option<Timestamp>,
    pub responses: Vec<Response>,
    pub lines: u64,
    /// Lines that told of a response again.
    pub duplicates: u64,
    pub complaints: Complaints,
}

/// A response.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub at: Timestamp,
    pub model: Arc<str>,
    pub usage: TokenUsage,
    pub told: Told,
}

/// How a response was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// By a record, of this thread.
    Record { thread: Option<Box<str>>, response_id: Box<str> },
    /// By the total after it.
    Count(Tokens),
}

/// What is known while a file is read.
struct Reading {
    rollout: Rollout,
    has_session: bool,
    model: Arc<str>,
    /// The last total, and whether a record has told of what it counts next.
    total: Option<Tokens>,
    is_recorded: bool,
}

impl Rollout {
    /// Reads a file. One that fails is a complaint like a line that does: what was read of it counts.
    pub(super) fn read(file: &Found, now: Timestamp, progress: &(dyn Fn(u64) + Sync)) -> Self {
        let shown = file.shown.display().to_string();
        let name = file.shown.file_name().unwrap_or_default().to_string_lossy();
        let name = files::stem(&name).unwrap_or(&name);
        let mut reading = Reading {
            rollout: Rollout {
                thread: name.chars().take(MAX_NAME_CHARS).collect(),
                pipeline: super::FORMAT.to_owned(),
                agent: "main".to_owned(),
                provider: "openai".to_owned(),
                ..Rollout::default()
            },
            has_session: false,
            model: Arc::from("unknown"),
            total: None,
            is_recorded: false,
        };
        let mut complaints = Complaints::default();
        match File::open(&file.whole).and_then(Lines::new) {
            Ok(lines) => reading.take_all(lines, &shown, now, &mut complaints, progress),
            Err(error) => complaints.add_file(&shown, error),
        }
        Rollout { complaints, ..reading.rollout }
    }
}

impl Reading {
    fn take_all(
        &mut self,
        mut lines: Lines<File>,
        shown: &str,
        now: Timestamp,
        complaints: &mut Complaints,
        progress: &(dyn Fn(u64) + Sync),
    ) {
        let told = lines.progress();
        let mut told_bytes = 0;
        loop {
            let line = match lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    complaints.add_file(shown, error);
                    break;
                }
            };
            self.rollout.lines += 1;
            if line.number % PROGRESS_LINES == 0 {
                progress(told.bytes() - told_bytes);
                told_bytes = told.bytes();
            }
            let outcome = line
                .text
                .map_err(|bad| bad.to_string())
                .and_then(|text| line::read(text, now).map_err(|error| error.to_string()))
                .and_then(|read| self.take(read).map_err(|error| error.to_string()));
            if let Err(bad) = outcome {
                complaints.add(shown, line.number, bad);
            }
        }
        progress(told.bytes() - told_bytes);
    }

    fn take(&mut self, read: Read<'_>) -> crate::error::Result<()> {
        match read {
            Read::Nothing => {}
            Read::Session(session) => self.take_session(*session),
            Read::Model(model) => self.model = Arc::from(model.as_ref()),
            Read::Record { at, thread, response_id, tokens } => {
                let thread = thread.map(|thread| thread.into_owned().into_boxed_str());
                let told = Told::Record { thread, response_id: response_id.into_owned().into_boxed_str() };
                self.is_recorded = true;
                self.add(at, tokens, told)?;
            }
            Read::Count { at, total, last } => {
                let earlier = self.total.replace(total);
                if std::mem::take(&mut self.is_recorded) || earlier == Some(total) {
                    self.rollout.duplicates += 1;
                    return Ok(());
                }
                // A total that became less started anew.
                let last = last.or_else(|| total.since(earlier.as_ref())).unwrap_or(total);
                self.add(at, last, Told::Count(total))?;
            }
        }
        Ok(())
    }

    /// The first line of the kind is the file's own.
    fn take_session(&mut self, session: line::Session<'_>) {
        if std::mem::replace(&mut self.has_session, true) {
            return;
        }
        let rollout = &mut self.rollout;
        let owned = |text: std::borrow::Cow<'_, str>| text.into_owned();
        rollout.thread = session.id.into_owned();
        rollout.started_at = session.at;
        rollout.forked_from = session.forked_from_id.map(owned);
        rollout.parent = session.parent_thread_id.map(owned);
        let folder =
            session.cwd.as_deref().and_then(|cwd| cwd.rsplit(['/', '\\']).find(|part| !part.is_empty()));
        if let Some(folder) = folder {
            // A folder's name may be longer than the ledger takes.
            rollout.pipeline = folder.chars().take(MAX_NAME_CHARS).collect();
        }
        if let Some(provider) = session.model_provider.filter(|provider| !provider.is_empty()) {
            rollout.provider = provider.into_owned();
        }
        if session.thread_source.as_deref() == Some("subagent") {
            let role = session.agent_role.filter(|role| !role.is_empty());
            rollout.agent = role.map_or_else(|| "subagent".to_owned(), owned);
        }
    }

    fn add(&mut self, at: Timestamp, tokens: Tokens, told: Told) -> crate::error::Result<()> {
        let usage = tokens.usage()?;
        self.rollout.last_line = self.rollout.last_line.max(Some(at));
        self.rollout.responses.push(Response { at, model: Arc::clone(&self.model), usage, told });
        Ok(())
    }
}
