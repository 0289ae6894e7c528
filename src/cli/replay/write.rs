//! What was sent, for people and for programs. Calls are written as they come: a run may have thousands.

use super::{ReplayFormat, Replayed};
use crate::cli::context::{counted, say};
use crate::cli::prompts::text;
use crate::error::{Error, Result};
use crate::prompt::{RenderedMessage, Role, text_diff};
use crate::store::{ReplayedCall, Run, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufWriter, StdoutLock, Write};

/// The verdicts, each of which has a sum in JSON.
const CODES: [&str; 8] =
    ["verified", "mismatch", "purged", "redacted", "not_recorded", "unproven", "digest_only", "broken"];

/// How many calls there were, by verdict.
#[derive(Default)]
pub(super) struct Tally {
    pub calls: u64,
    pub verified: u64,
    /// Calls of another prompt than the one asked for.
    pub passed_over: u64,
    /// Calls whose inputs do not fit the other version.
    unfit: u64,
    /// Calls of which only the archive knows.
    pub archived: u64,
    codes: BTreeMap<&'static str, u64>,
    others: BTreeMap<String, u64>,
}

impl Tally {
    pub fn add(&mut self, replayed: &Replayed) {
        self.calls += 1;
        *self.codes.entry(replayed.call.verdict.code()).or_default() += 1;
        if replayed.other.as_ref().is_some_and(|other| other.rendered.is_err()) {
            self.unfit += 1;
        }
        if replayed.call.verdict.is_verified() {
            self.verified += 1;
            return;
        }
        // Each call has its own digest or reason; those of a kind are counted together.
        let words = match &replayed.call.verdict {
            Verdict::Mismatch { .. } => "mismatch: the text is not what was sent".to_owned(),
            Verdict::Broken { .. } => "broken: the text cannot be given back".to_owned(),
            verdict => verdict.to_string(),
        };
        *self.others.entry(words).or_default() += 1;
    }

    fn of(&self, code: &str) -> u64 {
        self.codes.get(code).copied().unwrap_or_default()
    }

    pub fn is_exact(&self) -> bool {
        self.verified == self.calls && self.unfit == 0 && self.archived == 0
    }

    /// The sum in one line.
    pub fn words(&self) -> String {
        if self.calls == 0 && self.archived == 0 {
            return "the run has no calls".to_owned();
        }
        let mut words = format!("{} of {} verified", self.verified, counted(self.calls, "call", "calls"));
        for (verdict, calls) in &self.others {
            let _ = write!(words, "; {calls}: {verdict}");
        }
        if self.archived > 0 {
            let _ = write!(words, "; {}: archived, and no prompt is here", self.archived);
        }
        if self.unfit > 0 {
            let _ = write!(words, "; {}: the inputs do not fit the other version", self.unfit);
        }
        words
    }
}

pub(super) struct Writer {
    out: BufWriter<StdoutLock<'static>>,
    format: ReplayFormat,
    verdicts_only: bool,
    color: bool,
    /// What stands before the first call. Nothing is written before there is one: that a step is not there is
    /// found out at the end, and then nothing must have been printed.
    head: Option<String>,
    /// Calls that make no request.
    left_out: u64,
}

fn unwritable(error: std::io::Error) -> Error {
    Error::io("stdout cannot be written", error)
}

impl Writer {
    pub fn new(run: &Run, format: ReplayFormat, verdicts_only: bool, color: bool) -> Self {
        let head = match format {
            ReplayFormat::Text if verdicts_only => String::new(),
            ReplayFormat::Text => {
                format!("run {}  {}  {}  started {}\n", run.run_id, run.pipeline, run.status, run.started_at)
            }
            ReplayFormat::Json => {
                format!("{{\"schema\":\"asmm.replay/1\",\"run_id\":\"{}\",\"calls\":[", run.run_id)
            }
            ReplayFormat::Openai => String::new(),
        };
        let out = BufWriter::new(std::io::stdout().lock());
        Self { out, format, verdicts_only, color, head: Some(head), left_out: 0 }
    }

    pub fn write(&mut self, replayed: &Replayed, number: u64) -> Result<()> {
        let comma = if self.head.is_none() { "," } else { "" };
        let text = match self.format {
            ReplayFormat::Text if self.verdicts_only => verdict_line(&replayed.call),
            ReplayFormat::Text => self.shown(replayed, number),
            ReplayFormat::Json => format!("{comma}{}", object(replayed, self.verdicts_only)),
            ReplayFormat::Openai => match replayed.request(None) {
                Ok(request) => format!("{}\n", Value::Object(request)),
                Err(why) => {
                    self.left_out += 1;
                    say(&format!("warning: call `{}` is left out: {why}", replayed.call.call_id));
                    String::new()
                }
            },
        };
        let head = self.head.take().unwrap_or_default();
        self.print(&head)?;
        self.print(&text)
    }

    /// Writes the sum; answers whether every call could be written.
    pub fn end(mut self, tally: &Tally) -> Result<bool> {
        let text = match self.format {
            ReplayFormat::Text => {
                format!("{}{}\n", if self.verdicts_only { "" } else { "\n" }, tally.words())
            }
            ReplayFormat::Json => {
                let mut sums = json!({"calls_total": tally.calls, "archived": tally.archived});
                for code in CODES {
                    sums[code] = tally.of(code).into();
                }
                format!("],{}\n", sums.to_string().trim_start_matches('{'))
            }
            ReplayFormat::Openai => {
                say(&tally.words());
                String::new()
            }
        };
        let head = self.head.take().unwrap_or_default();
        self.print(&head)?;
        self.print(&text)?;
        self.out.flush().map_err(unwritable)?;
        Ok(self.left_out == 0)
    }

    fn print(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(unwritable)
    }

    /// A call for people: where it stands, whether it is exact, and its messages, or what differs in them.
    fn shown(&self, replayed: &Replayed, number: u64) -> String {
        let call = &replayed.call;
        let verdict_color = if call.verdict.is_verified() { "32" } else { "31" };
        let mut head = format!("call {number}  {}", call.call_id);
        for part in [call.step.as_deref().unwrap_or_default(), &call.agent, &call.model] {
            if !part.is_empty() {
                let _ = write!(head, "  {part}");
            }
        }
        let mut shown = format!("\n{}\n", text::painted(&head, "1", self.color));
        let _ = writeln!(
            shown,
            "{}  {}",
            prompt_words(call),
            text::painted(&call.verdict.to_string(), verdict_color, self.color)
        );
        match &replayed.other {
            None => {
                let answered = call.output.iter().flatten().map(role_and_content);
                let verdict = call.output_verdict.as_ref().map(ToString::to_string).unwrap_or_default();
                let answered =
                    answered.map(|(role, content)| (format!("{role}, answered: {verdict}"), content));
                let messages = call.messages.iter().flatten().map(role_and_content).chain(answered);
                let messages: Vec<(String, String)> = messages.collect();
                let all = messages.iter().map(|(role, content)| (role.as_str(), content.as_str()));
                shown.push_str(&text::messages(all, self.color));
                if call.output.is_none() && call.output_verdict.is_some() {
                    let _ = writeln!(shown, "the answer: {verdict}");
                }
            }
            Some(other) => match &other.rendered {
                Err(error) => {
                    let _ = writeln!(shown, "{}: {error}", other.entry);
                }
                Ok(rendered) => {
                    let then: Vec<RenderedMessage> =
                        call.messages.iter().flatten().filter_map(rendered_of).collect();
                    let lines = text_diff(&then, &rendered.messages);
                    if lines.is_empty() {
                        let _ = writeln!(shown, "{} would have sent the same", other.entry);
                    } else {
                        let _ = writeln!(shown, "+++ {} {}", other.entry, other.entry.digest.short());
                        shown.push_str(&text::diff(&lines, self.color));
                    }
                }
            },
        }
        shown
    }
}

/// Which prompt a call used, in words.
fn prompt_words(call: &ReplayedCall) -> String {
    match (&call.version, call.sanitisation) {
        (Some(version), Some(state)) => {
            format!("{} {}  {}", version.entry, version.entry.digest.short(), state.code())
        }
        (Some(version), None) => format!("{} (the step's)", version.entry),
        (None, Some(state)) => format!("captured text  {}", state.code()),
        (None, None) => "no prompt".to_owned(),
    }
}

fn verdict_line(call: &ReplayedCall) -> String {
    let words = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let prompt = match &call.version {
        Some(version) => version.entry.to_string(),
        None if call.sanitisation.is_some() => "captured text".to_owned(),
        None => "-".to_owned(),
    };
    let step = words(call.step.as_deref().unwrap_or_default());
    format!("{}  {step:<12}  {:<12}  {prompt:<28}  {}\n", call.call_id, words(&call.agent), call.verdict)
}

fn role_and_content(message: &Value) -> (String, String) {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("?").to_owned();
    let is_plain = message.as_object().is_some_and(|fields| fields.len() == 2);
    let content = match message.get("content") {
        Some(Value::String(content)) if is_plain => content.clone(),
        // Tool calls and the like: all of it.
        _ => message.to_string(),
    };
    (role, content)
}

fn rendered_of(message: &Value) -> Option<RenderedMessage> {
    let role = Role::from_code(message.get("role")?.as_str()?)?;
    Some(RenderedMessage { role, content: message.get("content")?.as_str()?.to_owned() })
}

/// A call for programs.
fn object(replayed: &Replayed, verdicts_only: bool) -> Value {
    let call = &replayed.call;
    let version = call.version.as_ref().map(|version| &version.entry);
    let mut object = json!({
        "call_id": call.call_id,
        "step_id": call.step_id,
        "step": call.step,
        "agent": call.agent,
        "called_at": call.called_at,
        "is_recorded": call.has_call,
        "provider": call.provider,
        "model": call.model,
        "operation": call.operation,
        "prompt": version.map(|v| &v.name),
        "version": version.map(|v| v.version),
        "prompt_digest": version.map(|v| v.digest),
        "text_sha256": call.text_sha256,
        "sanitisation": call.sanitisation,
        "output_sha256": call.output_sha256,
        "output_verdict": call.output_verdict.as_ref().map(Verdict::code),
        "verdict": call.verdict.code(),
        "reason": Some(call.verdict.to_string()).filter(|_| !call.verdict.is_verified()),
    });
    if let Value::Object(fields) = &mut object
        && !verdicts_only
    {
        fields.insert("inputs".to_owned(), json!(call.inputs));
        fields.insert("messages".to_owned(), json!(call.messages));
        fields.insert("output".to_owned(), json!(call.output));
        if let Some(other) = &replayed.other {
            let with = json!({
                "version": other.entry.version,
                "prompt_digest": other.entry.digest,
                "messages": other.rendered.as_ref().ok().map(crate::prompt::Rendered::to_values),
                "problem": other.rendered.as_ref().err().map(ToString::to_string),
            });
            fields.insert("with".to_owned(), with);
        }
    }
    object
}
