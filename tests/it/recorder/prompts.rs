//! Prompts through the recorder: what is sent is known, sanitised and given back, also while the ledger is away.
//!
//! The guard's key, the copies of prompts and the spool are in the user's home. So that each test has one of its own, its
//! body runs in a process of its own: this program again, told to run [`child`] alone.

use crate::guard::REPLY;
use crate::guard::planted::{email, github_token};
use crate::support::{Output, TestDb, asmm, block_on, on_both_databases, psql_program};
use asmm::ErrorKind;
use asmm::clock::Clock;
use asmm::domain::{Decision, Digest, GuardEvent, RunId, Sanitisation, Status, canonical_json};
use asmm::prompt::parse_file;
use asmm::recorder::{Recorder, Settings};
use asmm::store::{GuardFilter, Location, NewVersion, Store};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);
/// What never comes within this time does not come.
const LONG: Duration = Duration::from_mins(1);
const BODY: &str = "ASMM_TEST_CHILD_BODY";

fn run_id() -> RunId {
    RunId(Uuid::from_u128(1))
}

// ---- a process with a home of its own -----------------------------------------------------------------------

/// In a process that [`in_child`] has started: the body that it names. Else nothing.
#[test]
fn child() {
    let Ok(body) = std::env::var(BODY) else { return };
    // A body that waits for ever fails.
    std::thread::spawn(|| {
        std::thread::sleep(2 * LONG);
        std::process::abort();
    });
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    block_on(async {
        match body.as_str() {
            "sent" => sent().await,
            "addresses" => addresses().await,
            "elsewhere" => elsewhere().await,
            "secret" => secret().await,
            "unfit" => unfit().await,
            "moved" => moved().await,
            "seen" => seen().await,
            "away" => away().await,
            "back" => back().await,
            "tampered" => tampered().await,
            "loaded" => loaded().await,
            "captured" => captured().await,
            _ => panic!("there is no body `{body}`"),
        }
    });
}

/// Runs a body in a process of its own, which must succeed. Its home and its folder are the test's.
fn in_child(body: &str, url: &str, db: &TestDb) -> Output {
    let home = db.dir.path().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recorder::prompts::child", "--nocapture"])
        .current_dir(db.dir.path())
        .env_clear()
        .env("HOME", &home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env("ASMM_DATABASE_URL", url)
        .env("ASMM_SCHEMA", &db.schema)
        .env(BODY, body)
        .output()
        .unwrap();
    let output = Output::from_process(&output, &[]);
    assert!(output.code == 0 && output.stdout.contains("1 passed"), "{body}\n{}", output.snapshot());
    output
}

/// The program, in the home of [`in_child`].
fn program(db: &TestDb, args: &[&str]) -> Output {
    let mut command = asmm(db.dir.path());
    command.env("ASMM_DATABASE_URL", &db.url).env("ASMM_SCHEMA", &db.schema).env_remove("ASMM_NOW");
    Output::from_process(&command.args(args).output().unwrap(), &[])
}

/// A ledger in which `support/reply` is version 1 and in production.
async fn prepared(db: &TestDb) -> Store {
    let store = Store::connect(&Location::new(&db.url, &db.schema), Clock::System).await.unwrap();
    store.migrate().await.unwrap();
    store.push_prompts(&[reply("Answer")], Some("production"), None).await.unwrap();
    store
}

/// The prompt, in other words each time.
fn reply(words: &str) -> NewVersion {
    let file = parse_file("reply.yaml", REPLY.replace("Answer", words).as_bytes()).unwrap();
    NewVersion {
        digest: file.content.digest().unwrap(),
        content: file.content.canonical().unwrap(),
        name: file.name,
        description: file.description,
        source: file.source,
    }
}

/// In the child: what the environment says.
async fn here() -> (Store, Recorder) {
    let settings = Settings::from_env().unwrap();
    (Store::open(&settings.location, Clock::System).await.unwrap(), Recorder::connect(settings))
}

async fn events(store: &Store) -> Vec<GuardEvent> {
    let events = store.guard_events_page(0, 100).await.unwrap().into_iter().map(|recorded| recorded.event);
    let of_run: Vec<_> = events.filter(|event| event.run_id == Some(run_id())).collect();
    let filter = GuardFilter { run_id: Some(run_id()), ..GuardFilter::default() };
    let window = asmm::domain::Window::last_days(2, store.now(), chrono_tz::UTC).unwrap();
    assert_eq!(store.guard_events(&window, &filter, 100).await.unwrap().len(), of_run.len());
    of_run
}

// ---- what is not to be anywhere -----------------------------------------------------------------------------

/// Everything that there is after a test: files, what was said, and the tables of a Postgres ledger.
fn everything(db: &TestDb, said: &[&Output]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    files(db.dir.path(), &mut all);
    for output in said {
        all.push(("what was said".to_owned(), output.snapshot().into_bytes()));
    }
    if db.url.starts_with("postgres") {
        let tables = "select table_name from information_schema.tables where table_schema = current_schema()
            and table_type = 'BASE TABLE'";
        let psql = |sql: &str| psql_program(&db.schema).args(["-c", sql]).output().unwrap().stdout;
        for table in String::from_utf8(psql(tables)).unwrap().lines() {
            all.push((format!("table {table}"), psql(&format!("copy {table} to stdout"))));
        }
    }
    all
}

fn files(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

fn holds(all: &[(String, Vec<u8>)], text: &str) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    all.iter().filter(|(_, bytes)| has(bytes)).map(|(place, _)| place.clone()).collect()
}

// ---- a ledger that goes away --------------------------------------------------------------------------------

/// A ledger that can be cut off, and comes back: a way to the server, or the file's place.
pub(super) struct Reach {
    pub(super) url: String,
    way: Way,
}

enum Way {
    File(PathBuf),
    Server { port: u16, to: String, open: Arc<Mutex<Option<Vec<TcpStream>>>> },
}

impl Reach {
    pub(super) fn new(url: &str) -> Self {
        if let Some(file) = url.strip_prefix("sqlite://") {
            return Self { url: url.to_owned(), way: Way::File(file.into()) };
        }
        let server = PgConnectOptions::from_str(url).unwrap();
        let to = format!("{}:{}", server.get_host(), server.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = server.host("127.0.0.1").port(port).to_url_lossy().to_string();
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        forward(listener, to.clone(), Arc::clone(&open));
        Self { url, way: Way::Server { port, to, open } }
    }

    pub(super) fn cut(&self) {
        match &self.way {
            Way::File(file) => {
                for end in ["", "-wal", "-shm"] {
                    let (from, to) = (beside(file, end), beside(file, &format!(".away{end}")));
                    assert!(std::fs::rename(from, to).is_ok() || !end.is_empty());
                }
                std::fs::create_dir(file).unwrap();
            }
            Way::Server { port, open, .. } => {
                for stream in open.lock().unwrap().take().into_iter().flatten() {
                    let _ = stream.shutdown(Shutdown::Both);
                }
                // Wakes the thread that accepts, which then stops; from then on nobody listens.
                let end = Instant::now() + LONG;
                while TcpStream::connect(("127.0.0.1", *port)).is_ok() {
                    assert!(Instant::now() < end, "somebody still listens");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    pub(super) fn mend(&self) {
        match &self.way {
            Way::File(file) => {
                std::fs::remove_dir(file).unwrap();
                for end in ["", "-wal", "-shm"] {
                    let _ = std::fs::rename(beside(file, &format!(".away{end}")), beside(file, end));
                }
            }
            Way::Server { port, to, open } => {
                let listener = TcpListener::bind(("127.0.0.1", *port)).unwrap();
                *open.lock().unwrap() = Some(Vec::new());
                forward(listener, to.clone(), Arc::clone(open));
            }
        }
    }

    /// The settings of the environment, for this ledger.
    fn settings(&self) -> Settings {
        let mut settings = Settings::from_env().unwrap();
        let schema = settings.location.schema.clone();
        settings.location = Settings::new(&self.url, schema).location;
        settings
    }
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Hands on what comes to `listener`, as long as `open` holds something.
fn forward(listener: TcpListener, to: String, open: Arc<Mutex<Option<Vec<TcpStream>>>>) {
    std::thread::spawn(move || {
        for here in listener.incoming() {
            let mut slot = open.lock().unwrap();
            let Some(streams) = &mut *slot else { return };
            let (Ok(here), Ok(there)) = (here, TcpStream::connect(&to)) else { continue };
            for (mut from, mut to) in [(&here, &there), (&there, &here)].map(|(a, b)| (copy(a), copy(b))) {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
            streams.extend([here, there]);
        }
    });
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

// ---- the tests ----------------------------------------------------------------------------------------------

on_both_databases! {
    async fn what_is_sent_is_known_and_given_back(db: TestDb) {
        prepared(&db).await;
        in_child("sent", &db.url, &db);
        let run = run_id().to_string();
        let replay = program(&db, &["replay", &run, "--verify"]).success();
        assert!(replay.contains("1 of 1 call verified"), "{replay}");
        let replay = program(&db, &["replay", &run, "--format", "json"]).success();
        let words = json!("They say:\nHello {{who}}, café\nThe log:\nempty").to_string();
        assert!(replay.contains(&words), "{replay}");
        let shown = program(&db, &["runs", "show", &run]).success();
        let step = shown.lines().find(|line| line.starts_with("reply ")).unwrap_or_else(|| panic!("{shown}"));
        assert!(step.contains("support/reply@1"), "{shown}");
    }

    async fn an_address_is_the_same_token_in_the_whole_run(db: TestDb) {
        prepared(&db).await;
        let said = in_child("addresses", &db.url, &db);
        assert!(said.stderr.contains("EMAIL_1"), "the guard logs: {}", said.stderr);
        let verified = program(&db, &["replay", &run_id().to_string(), "--verify"]).success();
        assert!(verified.contains("3 of 3 calls verified"), "{verified}");
        let all = everything(&db, &[&said]);
        assert!(!holds(&all, "[EMAIL_1]").is_empty(), "the test looks at nothing");
        for number in 1..=2 {
            assert_eq!(holds(&all, &email(number)), [""; 0]);
        }
        // Another process, which the run is handed on to, goes on counting.
        in_child("elsewhere", &db.url, &db);
    }

    async fn a_secret_is_refused_and_is_nowhere(db: TestDb) {
        prepared(&db).await;
        let said = in_child("secret", &db.url, &db);
        assert!(said.stderr.contains("ERROR asmm::guard"), "{}", said.stderr);
        let all = everything(&db, &[&said]);
        assert!(!holds(&all, "github_token").is_empty(), "the test looks at nothing");
        assert_eq!(holds(&all, &github_token(1)), [""; 0]);
        let events = program(&db, &["guard", "events", "--format", "json"]).success();
        assert!(events.contains(&run_id().to_string()), "{events}");
    }

    async fn what_does_not_fit_is_an_error_that_names_the_prompt(db: TestDb) {
        prepared(&db).await;
        in_child("unfit", &db.url, &db);
    }

    async fn a_label_that_moves_is_picked_up(db: TestDb) {
        prepared(&db).await;
        in_child("moved", &db.url, &db);
    }

    async fn a_version_that_was_seen_is_used_while_the_ledger_is_away(db: TestDb) {
        prepared(&db).await;
        let reach = Reach::new(&db.url);
        in_child("seen", &reach.url, &db);
        reach.cut();
        let said = in_child("away", &reach.url, &db);
        let warning = said.stderr.lines().find(|line| line.contains("is taken for `support/reply@1`"));
        assert!(warning.is_some_and(|line| line.contains("WARN asmm::recorder")), "{}", said.stderr);
    }

    async fn a_ledger_that_comes_back_is_asked_again(db: TestDb) {
        prepared(&db).await;
        in_child("back", &db.url, &db);
    }

    async fn a_copy_that_was_changed_is_not_used(db: TestDb) {
        prepared(&db).await;
        in_child("tampered", &db.url, &db);
    }

    async fn what_is_loaded_beforehand_is_at_hand(db: TestDb) {
        prepared(&db).await;
        in_child("loaded", &db.url, &db);
    }

    async fn messages_from_elsewhere_are_redacted_before_they_are_stored(db: TestDb) {
        prepared(&db).await;
        let said = in_child("captured", &db.url, &db);
        let all = everything(&db, &[&said]);
        assert!(!holds(&all, "[EMAIL_1]").is_empty(), "the test looks at nothing");
        for value in [github_token(1), email(1)] {
            assert_eq!(holds(&all, &value), [""; 0]);
        }
    }
}

// ---- their bodies -------------------------------------------------------------------------------------------

async fn sent() {
    let (store, recorder) = here().await;
    let run = recorder.run("support").id(run_id()).start();
    let step = run.step("reply").agent("writer").start();
    let prompt = step.prompt("support/reply@production").unwrap();
    assert_eq!(prompt.version(), "support/reply@1");
    assert_eq!(prompt.digest(), reply("Answer").digest);
    let rendered = prompt.render(json!({"text": "Hello {{who}}, café", "who": "Ada"})).unwrap();
    let receipt = step.call("openai", "gpt-4o").prompt(&rendered).record();
    let call_id = receipt.call_id();
    receipt.await.unwrap();
    step.finish(Status::Succeeded);
    run.finish(Status::Succeeded);
    assert!(recorder.shutdown(SOON).await.is_safe);

    let [sent] = &store.sent_prompts(run_id(), None, 10).await.unwrap()[..] else { panic!("one call") };
    assert_eq!(sent.call_id, call_id);
    let prompt = &sent.prompt;
    assert_eq!(prompt.version.as_deref(), Some("support/reply@1"));
    assert_eq!(prompt.sanitisation, Sanitisation::Clean);
    let inputs = Value::Object(prompt.inputs.clone().unwrap());
    assert_eq!((&inputs["text"], &inputs["who"]), (&json!("Hello {{who}}, café"), &json!("Ada")));
    // The digest is that of the very words that were sent.
    let words = canonical_json(&serde_json::to_value(rendered.messages()).unwrap()).unwrap();
    assert!(words.contains("Answer Ada, copy to nobody. Number: 3."), "{words}");
    assert_eq!(prompt.text_sha256, Some(Digest::of(&words)));
    assert_eq!(rendered.text_sha256(), prompt.text_sha256);
    assert_eq!(events(&store).await.len(), 0);
}

async fn addresses() {
    let (store, recorder) = here().await;
    let run = recorder.run("support").id(run_id()).start();
    let mut calls = Vec::new();
    for (number, text, expected) in [
        (1, format!("write to {}", email(1)), "write to [EMAIL_1]"),
        (2, format!("{} and {}", email(2), email(1)), "[EMAIL_2] and [EMAIL_1]"),
        (3, format!("again {}", email(1)), "again [EMAIL_1]"),
    ] {
        // In steps and tasks of their own.
        let step = run.step(format!("reply {number}")).start();
        let rendered = step.prompt("support/reply").unwrap().render(json!({"text": text})).unwrap();
        let words = serde_json::to_string(rendered.messages()).unwrap();
        assert!(words.contains(expected), "{words}");
        calls.push(step.call("openai", "gpt-4o").prompt(&rendered).record().call_id());
        step.finish(Status::Succeeded);
    }
    run.finish(Status::Succeeded);
    assert!(recorder.shutdown(SOON).await.is_safe);

    for sent in store.sent_prompts(run_id(), None, 10).await.unwrap() {
        assert_eq!(sent.prompt.sanitisation, Sanitisation::Redacted);
        let text = sent.prompt.inputs.unwrap()["text"].to_string();
        assert!(text.contains("[EMAIL_1]") && !text.contains('@'), "{text}");
    }
    let events = events(&store).await;
    assert!(events.iter().all(|event| event.decision == Decision::Redact), "{events:?}");
    let mut of_calls: Vec<_> = events
        .iter()
        .map(|event| (event.call_id.unwrap(), event.token.clone().unwrap(), event.fingerprint.unwrap()))
        .collect();
    of_calls.sort_by_key(|(call_id, token, _)| (calls.iter().position(|id| id == call_id), token.clone()));
    let said: Vec<_> = of_calls.iter().map(|(call_id, token, _)| (*call_id, token.as_str())).collect();
    assert_eq!(
        said,
        [(calls[0], "EMAIL_1"), (calls[1], "EMAIL_1"), (calls[1], "EMAIL_2"), (calls[2], "EMAIL_1")]
    );
    assert!(of_calls[0].2 == of_calls[1].2 && of_calls[1].2 != of_calls[2].2);
}

async fn elsewhere() {
    let (_, recorder) = here().await;
    for (text, expected) in [
        (format!("{} and {}", email(3), email(2)), "[EMAIL_3] and [EMAIL_2]"),
        (format!("{} and {}", email(4), email(3)), "[EMAIL_4] and [EMAIL_3]"),
    ] {
        // Each request has a handle of its own.
        let context = recorder.attach(run_id(), None);
        let rendered = context.prompt("support/reply").unwrap().render(json!({"text": text})).unwrap();
        let words = serde_json::to_string(rendered.messages()).unwrap();
        assert!(words.contains(expected), "{words}");
    }
}

async fn secret() {
    let (store, recorder) = here().await;
    let run = recorder.run("support").id(run_id()).start();
    let step = run.step("reply").start();
    let prompt = step.prompt("support/reply@1").unwrap();
    let error = prompt.render(json!({"text": format!("use {}", github_token(1))})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guard);
    let text = error.to_string();
    assert!(text.starts_with("prompt `support/reply@1`: input `text` holds a secret"), "{text}");
    // As a pipeline would.
    tracing::error!("{error} {error:?} {:?}", error.next_step());
    step.finish(Status::Failed);
    run.finish(Status::Failed);
    assert!(recorder.shutdown(SOON).await.is_safe);

    let run = store.run(run_id()).await.unwrap();
    assert_eq!((run.status, run.totals.llm_calls), (Status::Failed, 0));
    let [event] = &events(&store).await[..] else { panic!("one decision") };
    assert_eq!((event.decision, event.call_id), (Decision::Block, None));
    assert_eq!(event.prompt.as_deref(), Some("support/reply@1"));
    assert_eq!((event.detector.as_str(), event.variable.as_deref()), ("github_token", Some("text")));
}

async fn unfit() {
    let (store, recorder) = here().await;
    let run = recorder.run("support").id(run_id()).start();
    let prompt = run.prompt("support/reply@production").unwrap();
    for (inputs, says) in [
        (json!("no object"), "the inputs are no object"),
        (json!(null), "the inputs are no object"),
        (json!({}), "`text`"),
        (json!({"text": 7}), "`text`"),
        (json!({"text": "x", "number": "seven"}), "`number`"),
        (json!({"text": "x", "other": 1}), "`other`"),
    ] {
        let error = prompt.render(&inputs).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("prompt `support/reply@1`: ") && text.contains(says), "{inputs}: {text}");
        assert_eq!(error.kind(), ErrorKind::Input, "{text}");
    }
    for (reference, kind) in [
        ("support/reply@9", ErrorKind::NotFound),
        ("support/reply@nowhere", ErrorKind::NotFound),
        ("no/such", ErrorKind::NotFound),
    ] {
        let error = run.prompt(reference).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(reference), "{error:?}");
    }
    assert!(run.prompt("no name@1").is_err());
    run.finish(Status::Failed);
    assert!(recorder.shutdown(SOON).await.is_safe);
    assert_eq!(store.run(run_id()).await.unwrap().totals.llm_calls, 0);
    assert_eq!(events(&store).await.len(), 0);
}

async fn moved() {
    let settings = Settings::from_env().unwrap();
    let store = Store::open(&settings.location, Clock::System).await.unwrap();
    let slow = Recorder::connect(settings.clone());
    let mut settings = settings;
    settings.prompt_refresh = Duration::from_millis(20);
    let quick = Recorder::connect(settings);
    let runs = [&slow, &quick].map(|recorder| recorder.run("support").start());
    for run in &runs {
        assert_eq!(run.prompt("support/reply@production").unwrap().version(), "support/reply@1");
        assert_eq!(run.prompt("support/reply@1").unwrap().version(), "support/reply@1");
    }
    store.push_prompts(&[reply("Reply to")], Some("production"), None).await.unwrap();
    let end = Instant::now() + LONG;
    while runs[1].prompt("support/reply@production").unwrap().version() != "support/reply@2" {
        assert!(Instant::now() < end, "the label is never asked for again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rendered = runs[1].prompt("support/reply@production").unwrap().render(json!({"text": "x"})).unwrap();
    assert!(rendered.messages()[0].content.starts_with("Reply to somebody"));
    // Versions do not change. A label that is asked for less often means what it meant.
    assert_eq!(runs[1].prompt("support/reply@1").unwrap().version(), "support/reply@1");
    let metrics = slow.metrics();
    assert_eq!(
        runs[0].prompt("support/reply@production").unwrap().version(),
        "support/reply@1",
        "{metrics:?}"
    );
}

async fn seen() {
    let (_, recorder) = here().await;
    recorder.run("support").start().prompt("support/reply@production").unwrap();
    recorder.shutdown(SOON).await;
}

async fn away() {
    // A ledger that is gone.
    let settings = Settings::from_env().unwrap();
    let recorder = Recorder::connect(settings.clone());
    let run = recorder.run("support").id(run_id()).start();
    let prompt = run.prompt("support/reply@production").unwrap();
    assert_eq!((prompt.version(), prompt.digest()), ("support/reply@1", reply("Answer").digest));
    let rendered = prompt.render(json!({"text": format!("to {}", email(1))})).unwrap();
    assert!(rendered.messages()[1].content.contains("to [EMAIL_1]"));
    run.call("openai", "gpt-4o").prompt(&rendered).record().await.unwrap();
    // The one that was asked for first had to wait to be told.
    let error = run.prompt("support/other@production").unwrap_err();
    assert!(error.is_of_the_ledger() && error.to_string().contains("support/other@production"), "{error}");
    let first = Instant::now();
    let again = run.prompt("support/other@production").unwrap_err().to_string();
    // Asked again, the ledger would have said why it cannot be reached; unless this machine stood still meanwhile.
    let is_late = first.elapsed() > Duration::from_secs(4);
    assert!(is_late || again.contains("is not at hand"), "{again}");
    drop(run);
    assert!(recorder.shutdown(SOON).await.is_safe);

    // A ledger that says nothing at all: the patience ends the wait.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/nothing", silent.local_addr().unwrap());
    let mut hanging = Settings::new(url, "asmm");
    hanging.location.patience = LONG;
    hanging.patience = LONG;
    hanging.prompt_patience = Duration::from_millis(50);
    hanging.spool_home = Some("hanging".into());
    let recorder = Recorder::connect(hanging);
    let error = recorder.run("support").start().prompt("support/reply@production").unwrap_err();
    assert!(error.to_string().contains("did not answer in time"), "{error}");
    assert!(error.next_step().unwrap().contains("load_prompts"), "{error:?}");
}

async fn back() {
    let settings = Settings::from_env().unwrap();
    let reach = Reach::new(&settings.location.url);
    let mut settings = reach.settings();
    settings.prompt_refresh = Duration::from_millis(200);
    reach.cut();
    let recorder = Recorder::connect(settings);
    let run = recorder.run("support").id(run_id()).start();
    assert!(run.prompt("support/reply@production").unwrap_err().is_of_the_ledger());
    reach.mend();
    // However often it is asked for meanwhile.
    let end = Instant::now() + LONG;
    while let Err(error) = run.prompt("support/reply@production") {
        assert!(Instant::now() < end, "the ledger is never asked again: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.finish(Status::Succeeded);
    assert!(recorder.shutdown(SOON).await.is_safe);
}

async fn tampered() {
    let reach = Reach::new(&Settings::from_env().unwrap().location.url);
    let recorder = Recorder::connect(reach.settings());
    let run = recorder.run("support").start();
    run.prompt("support/reply@production").unwrap();
    run.prompt("support/reply@1").unwrap();
    drop(run);
    recorder.shutdown(SOON).await;
    reach.cut();

    let folder = PathBuf::from(std::env::var("XDG_CACHE_HOME").unwrap()).join("asmm").join("prompts");
    let mut copies: Vec<(PathBuf, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()))
        .collect();
    copies.sort_by_key(|(_, copy)| copy["reference"].to_string());
    let [(exact_path, exact), (label_path, label)] = &copies[..] else { panic!("two copies: {copies:?}") };
    let version_with = |path: &Path, bytes: &[u8], reference: &str| {
        std::fs::write(path, bytes).unwrap();
        let run = Recorder::connect(reach.settings()).run("support").start();
        run.prompt(reference).map(|prompt| prompt.version().to_owned())
    };
    let changed = |copy: &Value, key: &str, value: Value| {
        let mut copy = copy.clone();
        copy[key] = value;
        copy.to_string().into_bytes()
    };
    let other = reply("Insult");
    let mut both = label.clone();
    both["content"] = other.content.clone().into();
    both["digest"] = json!(other.digest);
    let mut renamed = exact.clone();
    renamed["content"] = other.content.clone().into();
    renamed["digest"] = json!(other.digest);
    renamed["version"] = "support/reply@2".into();
    let (at_label, at_exact) = ("support/reply@production", "support/reply@1");
    for (path, bytes, reference) in [
        (label_path, changed(label, "content", other.content.clone().into()), at_label),
        (label_path, changed(label, "digest", json!(other.digest)), at_label),
        (label_path, changed(label, "ledger", "sqlite:/elsewhere".into()), at_label),
        (label_path, changed(label, "version", "support/other@1".into()), at_label),
        (label_path, changed(label, "version", "support/reply".into()), at_label),
        (label_path, exact.to_string().into_bytes(), at_label),
        (label_path, label.to_string().into_bytes()[..100].to_vec(), at_label),
        (label_path, Vec::new(), at_label),
        (exact_path, renamed.to_string().into_bytes(), at_exact),
    ] {
        let error = version_with(path, &bytes, reference).unwrap_err();
        assert!(error.is_of_the_ledger(), "{error}");
    }
    // The copies as they were are used: the test changes what counts.
    assert_eq!(version_with(label_path, label.to_string().as_bytes(), at_label).unwrap(), "support/reply@1");
    assert_eq!(version_with(exact_path, exact.to_string().as_bytes(), at_exact).unwrap(), "support/reply@1");
}

async fn loaded() {
    let (_, recorder) = here().await;
    let error = recorder.load_prompts(["support/reply", "support/none@production"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("support/none@production"), "{error}");
    recorder.load_prompts(["support/reply@production"]).await.unwrap();
    let run = recorder.run("support").start();
    // Nobody can be asked any more, and the copies on disk are gone.
    recorder.shutdown(SOON).await;
    std::fs::remove_dir_all(std::env::var("XDG_CACHE_HOME").unwrap()).unwrap();
    for reference in ["support/reply", "support/reply@production"] {
        assert_eq!(run.prompt(reference).unwrap().version(), "support/reply@1");
    }
    assert!(run.prompt("support/reply@1").unwrap_err().is_of_the_ledger());
}

async fn captured() {
    let reach = Reach::new(&Settings::from_env().unwrap().location.url);
    reach.cut();
    let recorder = Recorder::connect(reach.settings());
    let run = recorder.run("support").id(run_id()).start();
    let messages = vec![
        json!({"role": "system", "content": "Answer."}),
        json!({"role": "user", "content": format!("I am {}, and use {}", email(1), github_token(1))}),
    ];
    let digest = Digest::of(canonical_json(&json!(messages)).unwrap());
    run.call("openai", "gpt-4o").messages(messages.clone()).record().await.unwrap();
    let flushed = recorder.flush(SOON).await;
    assert!(flushed.is_safe && flushed.in_spool > 0, "{flushed:?}");

    let mut spool = Vec::new();
    files(Path::new(&std::env::var("XDG_STATE_HOME").unwrap()), &mut spool);
    assert_ne!(holds(&spool, "[EMAIL_1]"), [""; 0], "it is in the spool");
    for value in [email(1), github_token(1)] {
        assert_eq!(holds(&spool, &value), [""; 0]);
    }

    reach.mend();
    let end = Instant::now() + LONG;
    while recorder.metrics().in_spool > 0 {
        assert!(Instant::now() < end, "{:?}", recorder.metrics());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // And straight into the ledger.
    run.call("openai", "gpt-4o").messages(messages).record();
    run.finish(Status::Succeeded);
    assert!(recorder.shutdown(SOON).await.is_safe);

    let (store, _) = here().await;
    let sent = store.sent_prompts(run_id(), None, 10).await.unwrap();
    assert_eq!(sent.len(), 2);
    for sent in sent {
        let prompt = sent.prompt;
        assert_eq!(prompt.text_sha256, Some(digest), "of what was sent");
        assert_eq!(prompt.sanitisation, Sanitisation::Exposed);
        assert!(prompt.redacted_at.is_some());
        let words = json!(prompt.messages).to_string();
        assert!(words.contains("I am [EMAIL_1], and use [SECRET_1]"), "{words}");
    }
    let events = events(&store).await;
    assert!(events.len() == 4 && events.iter().all(|event| event.call_id.is_some()), "{events:?}");
}
