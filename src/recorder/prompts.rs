//! Prompt versions at hand, and what is sent of them.

use super::context::Context;
use super::reserve::AskReserve;
use super::settings::Settings;
use super::tokens::{self, FetchTokens};
use super::warn::Warning;
use crate::clock::Clock;
use crate::domain::{CallId, CallPrompt, Digest, Event, GuardEvent, RunId};
use crate::error::{Error, Result};
use crate::guard::{About, Decisions, Guarded};
use crate::prompt::{Content, Model, Reference, Rendered, RenderedMessage, VersionRef};
use crate::settings;
use crate::store::{PromptVersion, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// After the ledger did not answer, how long it is not waited for again, unless labels are asked for more often.
const GIVE_UP: Duration = Duration::from_secs(5);

/// A version as this process holds it.
pub(super) struct Loaded {
    /// `name@7`.
    pub name: String,
    digest: Digest,
    content: Content,
}

/// A request to the flusher, which has the connection.
pub(super) enum Request {
    Version(Fetch),
    Tokens(FetchTokens),
    Reserve(Box<AskReserve>),
    Release(RunId, CallId),
}

impl Request {
    /// Asks the ledger.
    pub async fn run(self, store: Store) {
        match self {
            Self::Version(fetch) => fetch.run(store).await,
            Self::Tokens(fetch) => fetch.run(store).await,
            Self::Reserve(ask) => ask.run(store).await,
            // Else it expires.
            Self::Release(run_id, call_id) => drop(store.release(run_id, call_id).await),
        }
    }

    /// Answers that there is no connection.
    pub fn refuse(self, why: &str) {
        match self {
            Self::Version(fetch) => fetch.refuse(why),
            // That nobody answers is the answer.
            Self::Tokens(_) | Self::Release(..) => {}
            Self::Reserve(ask) => ask.refuse(why),
        }
    }
}

/// A request for a version.
pub(super) struct Fetch {
    cache: Arc<PromptCache>,
    key: String,
    reference: Reference,
    answer: Option<mpsc::SyncSender<Result<Arc<Loaded>>>>,
}

/// The versions that this process has used, and on disk those that others on this machine have.
pub(super) struct PromptCache {
    requests: tokio::sync::mpsc::Sender<Request>,
    /// Of this ledger; none where there is no place for it.
    folder: Option<PathBuf>,
    ledger: String,
    clock: Clock,
    patience: Duration,
    /// How long a label is taken to mean the same.
    refresh: Duration,
    known: Mutex<HashMap<String, Known>>,
    warning: Mutex<Warning>,
}

struct Known {
    version: Option<Arc<Loaded>>,
    /// When it is to be asked for again; never what cannot change.
    ask_again: Option<Instant>,
}

/// A version on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    ledger: String,
    reference: String,
    version: String,
    digest: Digest,
    content: String,
}

impl PromptCache {
    pub fn new(settings: &Settings, requests: tokio::sync::mpsc::Sender<Request>) -> Self {
        Self {
            requests,
            folder: settings::cache_home().ok().map(|home| home.join("asmm").join("prompts")),
            ledger: settings.location.name(),
            clock: settings.clock,
            patience: settings.prompt_patience,
            refresh: settings.prompt_refresh,
            known: Mutex::default(),
            warning: Mutex::default(),
        }
    }

    /// The version that a reference means. One that is known is answered at once, and asked for again in the
    /// background; for one that is not, the ledger is waited for.
    pub fn get(self: &Arc<Self>, reference: &str) -> Result<Arc<Loaded>> {
        let parsed: Reference = reference.parse()?;
        let key = parsed.to_string();
        let now = Instant::now();
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key) {
            let is_due = known.ask_again.is_some_and(|due| due <= now);
            if let Some(version) = known.version.clone() {
                if is_due {
                    known.ask_again = now.checked_add(self.refresh);
                    // If it cannot be asked for now, it is the next time.
                    let _ = self.requests.try_send(self.fetch(key, parsed, None));
                }
                return Ok(version);
            }
            if !is_due {
                return Err(out_of_reach(&key));
            }
        }
        self.wait(&key, parsed.clone()).or_else(|error| self.fall_back(&key, &parsed, error))
    }

    /// As [`PromptCache::get`], without blocking the thread.
    pub async fn load(self: &Arc<Self>, reference: &str) -> Result<()> {
        let (cache, reference) = (Arc::clone(self), reference.to_owned());
        let loaded = tokio::task::spawn_blocking(move || cache.get(&reference).map(drop)).await;
        loaded.unwrap_or_else(|error| Err(Error::input(format!("loading a prompt stopped: {error}"))))
    }

    fn wait(self: &Arc<Self>, key: &str, reference: Reference) -> Result<Arc<Loaded>> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.requests
            .try_send(self.fetch(key.to_owned(), reference, Some(sender)))
            .map_err(|_| out_of_reach(key))?;
        match answer.recv_timeout(self.patience) {
            Ok(answer) => answer,
            Err(_) => Err(out_of_reach(key)),
        }
    }

    fn fetch(
        self: &Arc<Self>,
        key: String,
        reference: Reference,
        answer: Option<mpsc::SyncSender<Result<Arc<Loaded>>>>,
    ) -> Request {
        Request::Version(Fetch { cache: Arc::clone(self), key, reference, answer })
    }

    /// The tokens that a run has given already, if the ledger says so in time.
    pub fn tokens_of(&self, run_id: RunId) -> Vec<(String, Digest)> {
        tokens::ask(&self.requests, run_id, self.patience)
    }

    /// What this machine last took the reference for, when the ledger is out of reach.
    fn fall_back(&self, key: &str, reference: &Reference, error: Error) -> Result<Arc<Loaded>> {
        if !error.is_of_the_ledger() {
            return Err(error);
        }
        let version = self.read(key, reference).map(Arc::new);
        if let Some(version) = &version {
            let text = format!("{error}; `{key}` is taken for `{}`, as it was last here", version.name);
            self.warning.lock().unwrap_or_else(PoisonError::into_inner).say(&text);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ask_again = Some(Instant::now() + GIVE_UP.min(self.refresh));
        known.insert(key.to_owned(), Known { version: version.clone(), ask_again });
        version.ok_or(error)
    }

    fn note(&self, key: String, reference: &Reference, version: &PromptVersion) -> Result<Arc<Loaded>> {
        let content = version.parsed()?;
        let loaded = Loaded { name: version.entry.to_string(), digest: version.entry.digest, content };
        let loaded = Arc::new(loaded);
        let is_exact = matches!(reference.version, VersionRef::Number(_) | VersionRef::Digest(_));
        // A version never changes; what a label means does.
        let ask_again = if is_exact { None } else { Instant::now().checked_add(self.refresh) };
        if let Err(error) = self.write(&key, &loaded, &version.content) {
            tracing::debug!(target: "asmm::recorder", "a prompt version cannot be kept on disk: {error}");
        }
        let known = Known { version: Some(Arc::clone(&loaded)), ask_again };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known);
        Ok(loaded)
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}\u{1f}{key}", self.ledger).as_bytes());
        Some(self.folder.as_ref()?.join(format!("{}.json", id.simple())))
    }

    fn write(&self, key: &str, loaded: &Loaded, content: &str) -> std::io::Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        let stored = Stored {
            ledger: self.ledger.clone(),
            reference: key.to_owned(),
            version: loaded.name.clone(),
            digest: loaded.digest,
            content: content.to_owned(),
        };
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let beside = path.with_extension(Uuid::now_v7().simple().to_string());
        std::fs::write(&beside, serde_json::to_vec(&stored)?)?;
        std::fs::rename(&beside, &path)
    }

    /// What is on disk, if it is what it says it is.
    fn read(&self, key: &str, reference: &Reference) -> Option<Loaded> {
        let stored: Stored = serde_json::from_slice(&std::fs::read(self.path(key)?).ok()?).ok()?;
        let is_it = stored.ledger == self.ledger
            && stored.reference == key
            && can_mean(reference, &stored.version, stored.digest);
        let content = Content::from_canonical(&stored.content).ok()?;
        (is_it && Digest::of(&stored.content) == stored.digest).then_some(Loaded {
            name: stored.version,
            digest: stored.digest,
            content,
        })
    }
}

/// Whether a reference can mean this version: which one a label means, only the ledger knows.
fn can_mean(reference: &Reference, version: &str, digest: Digest) -> bool {
    version.rsplit_once('@').is_some_and(|(name, number)| {
        name == reference.name
            && match &reference.version {
                VersionRef::Number(wanted) => number == wanted.to_string(),
                VersionRef::Digest(digits) => digest.hex().starts_with(digits),
                VersionRef::Latest | VersionRef::Label(_) => number.parse::<u32>().is_ok(),
            }
    })
}

fn out_of_reach(key: &str) -> Error {
    Error::ledger(format!("prompt `{key}` is not at hand, and the ledger did not answer in time"))
        .hint("fetch it when the pipeline starts: Recorder::load_prompts")
}

impl Fetch {
    /// Asks the ledger.
    async fn run(self, store: Store) {
        let found = store.prompt_version(&self.reference, self.cache.clock.now()).await;
        let answer = found.and_then(|version| self.cache.note(self.key.clone(), &self.reference, &version));
        self.say(answer);
    }

    /// Answers that there is no connection.
    fn refuse(self, why: &str) {
        let error = Error::ledger(format!("prompt `{}` cannot be fetched: {why}", self.key));
        self.say(Err(error.hint("is the database up, and is ASMM_DATABASE_URL right?")));
    }

    fn say(self, answer: Result<Arc<Loaded>>) {
        if let Some(sender) = self.answer {
            // Whoever asked may have given up.
            let _ = sender.try_send(answer);
        }
    }
}

/// A prompt version, to be rendered with inputs: see [`Context::prompt`]. It holds the version's words, and asks nobody.
/// ```no_run
/// # fn example(recorder: &asmm::recorder::Recorder) -> asmm::Result<()> {
/// let run = recorder.run("enrichment").start();
/// let prompt = run.prompt("enrichment/company-summary@production")?;
/// println!("{} {}", prompt.version(), prompt.digest());
/// let model = prompt.model().map_or("gpt-4o", |model| model.id.as_str());
/// # Ok(())
/// # }
/// ```
pub struct Prompt {
    context: Context,
    version: Arc<Loaded>,
}

impl Prompt {
    pub(super) fn new(context: Context, version: Arc<Loaded>) -> Self {
        Self { context, version }
    }

    /// The version: `name@7`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version.name
    }

    /// The digest of what the version says.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.version.digest
    }

    /// The model and its parameters that the version asks for, if it does.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.version.content.model.as_ref()
    }

    /// The messages that the version and `inputs`, an object, make. They have passed the guard: what it redacted is
    /// redacted in them, by the same token in the whole run as far as it has one [`super::Run`] in one process, and each of its
    /// decisions is logged, and recorded with the call. Waits for nobody; the guard's first use reads its key from disk.
    ///
    /// # Errors
    /// When the inputs do not fit the version (`Input`), or the guard refuses them (of kind [`crate::ErrorKind::Guard`]): then
    /// nothing may be sent, and the refusal is recorded on the run.
    /// ```no_run
    /// # fn example(recorder: &asmm::recorder::Recorder) -> asmm::Result<()> {
    /// use asmm::ErrorKind;
    /// use serde_json::json;
    ///
    /// let run = recorder.run("support").start();
    /// match run.prompt("support/reply")?.render(json!({"text": "who am I?"})) {
    ///     Ok(prompt) => {
    ///         run.call("openai", "gpt-4o").prompt(&prompt).record();
    ///     }
    ///     Err(error) if error.kind() == ErrorKind::Guard => eprintln!("not sent: {error}"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn render(&self, inputs: impl Serialize) -> Result<RenderedPrompt> {
        let recorder = self.context.recorder();
        let name = &self.version.name;
        let place = |error: Error| error.at(format_args!("prompt `{name}`"));
        let inputs = object(inputs).map_err(place)?;
        let guard = recorder.inner.shared.guard.get()?;
        let now = recorder.now();
        let run_id = Some(self.context.run_id());
        let about = About { run_id, call_id: None, prompt: Some(name.clone()) };
        let tokens = self.context.tokens(guard);
        let mut tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let today = now.to_utc().date_naive();
        match guard.render(&self.version.content, &inputs, &mut tokens, today) {
            Ok(Guarded { rendered, inputs, decisions }) => {
                decisions.log(&about, false);
                let sent = CallPrompt {
                    version: Some(name.clone()),
                    inputs: Some(inputs.0),
                    text_sha256: Some(rendered.digest()?),
                    sanitisation: decisions.sanitisation(),
                    ..CallPrompt::default()
                };
                let policy = guard.policy_sha256();
                Ok(RenderedPrompt { rendered, sent, decisions, policy, decided_at: now })
            }
            Err(refusal) => {
                refusal.decisions.log(&about, false);
                for event in refusal.decisions.events(&about, guard.policy_sha256(), now) {
                    recorder.push(Event::Guard(event));
                }
                Err(place(refusal.error))
            }
        }
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prompt({}, {})", self.version.name, self.version.digest)
    }
}

fn object(inputs: impl Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(inputs) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => {
            Err(Error::input("the inputs are no object").hint("give json!({\"name\": value}), or a struct"))
        }
        // Serde's message could repeat a value.
        Err(_) => Err(Error::input("the inputs cannot be written as JSON")),
    }
}

/// Messages that may be sent, and what is recorded of them: give it to [`super::CallBuilder::prompt`]. One that is sent
/// twice is recorded with both calls. Dropped, nothing of it is recorded.
/// ```no_run
/// # fn example(recorder: &asmm::recorder::Recorder) -> asmm::Result<()> {
/// use serde_json::json;
///
/// let run = recorder.run("enrichment").start();
/// let prompt = run.prompt("enrichment/company-summary")?.render(json!({"company": "Acme"}))?;
/// for message in prompt.messages() {
///     println!("{}: {}", message.role.code(), message.content);
/// }
/// # Ok(())
/// # }
/// ```
pub struct RenderedPrompt {
    rendered: Rendered,
    sent: CallPrompt,
    decisions: Decisions,
    policy: Digest,
    decided_at: crate::domain::Timestamp,
}

impl RenderedPrompt {
    /// The messages, in the order in which they are sent. They serialise as chat APIs take them.
    #[must_use]
    pub fn messages(&self) -> &[RenderedMessage] {
        &self.rendered.messages
    }

    /// The SHA-256 of the canonical JSON of the messages: what the call records of them.
    #[must_use]
    pub fn text_sha256(&self) -> Option<Digest> {
        self.sent.text_sha256
    }

    pub(super) fn sent(&self) -> &CallPrompt {
        &self.sent
    }

    /// What the guard decided, as decided for a call in which it is sent.
    pub(super) fn decided(&self, run_id: RunId, call_id: CallId) -> Vec<GuardEvent> {
        let prompt = self.sent.version.clone();
        let about = About { run_id: Some(run_id), call_id: Some(call_id), prompt };
        self.decisions.events(&about, self.policy, self.decided_at)
    }
}

impl fmt::Debug for RenderedPrompt {
    /// Without what is said: it may hold what nobody should see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RenderedPrompt({:?}, {} messages)", self.sent.version, self.rendered.messages.len())
    }
}
