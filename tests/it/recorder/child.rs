//! A pipeline as a process of its own, for tests that kill it, starve it, or take its ledger away.
//!
//! The process is this program again, told to run [`pipeline`] alone. It writes down every call that it is about to record,
//! and every call that it knows to be safe.

use crate::support::TestDb;
use asmm::domain::{Status, TokenUsage};
use asmm::recorder::{Level, Metrics, Recorder, Settings};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const FOLDER: &str = "ASMM_TEST_PIPELINE";
const TASKS: usize = 4;
/// What does not come within this time does not come.
pub const LONG: Duration = Duration::from_mins(1);

/// In a process that [`Pipeline::start`] has started: records until it is told to stop. Else nothing.
#[test]
fn pipeline() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    // A pipeline that nobody stops any more ends by itself.
    std::thread::spawn(|| {
        std::thread::sleep(LONG * 3);
        std::process::abort();
    });
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let mut settings = Settings::from_env().unwrap();
    let pace = Duration::from_millis(number("ASMM_TEST_PACE_MS").unwrap_or(5));
    settings.queue_events =
        number("ASMM_TEST_QUEUE").map_or(settings.queue_events, |n| n.try_into().unwrap());
    let is_durable = settings.level == Level::Durable;
    let log =
        |name: &str| Arc::new(OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap());
    let (made, safe) = (log("recorded"), log("safe"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let recorder = Recorder::connect(settings);
        let pending = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (recorder, made, safe) = (recorder.clone(), made.clone(), safe.clone());
                let (pending, told) = (pending.clone(), folder.join("stop"));
                tokio::spawn(async move {
                    let run = recorder.run(format!("pipeline-{task}")).start();
                    let step = run.step("work").agent("worker").start();
                    while !told.exists() {
                        for _ in 0..5 {
                            let usage = TokenUsage { input: 1000, output: 10, ..TokenUsage::default() };
                            let call = step.call("openai", "gpt-4o").usage(usage);
                            let call_id = asmm::domain::CallId(Uuid::now_v7());
                            write_line(&made, call_id.0);
                            let receipt = call.id(call_id).record();
                            if is_durable {
                                let (safe, pending) = (safe.clone(), pending.clone());
                                pending.fetch_add(1, Ordering::Relaxed);
                                tokio::spawn(async move {
                                    if receipt.await.is_ok() {
                                        write_line(&safe, call_id.0);
                                    }
                                    pending.fetch_sub(1, Ordering::Relaxed);
                                });
                            }
                        }
                        tokio::time::sleep(pace).await;
                    }
                    step.finish(Status::Succeeded);
                    run.finish(Status::Succeeded);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let flushed = recorder.clone().shutdown(Duration::from_secs(10)).await;
        let metrics = recorder.metrics();
        assert!(flushed.is_safe || flushed.dropped > 0, "{flushed:?} {metrics:?}");
        // Each receipt is answered by now, be it that its call is lost.
        let deadline = Instant::now() + LONG;
        while pending.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "receipts that nobody answers");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::write(folder.join("metrics"), serde_json::to_vec(&metrics).unwrap()).unwrap();
    });
}

/// One write, so that a line is there whole or not at all.
fn write_line(mut log: &File, id: Uuid) {
    log.write_all(format!("{id}\n").as_bytes()).unwrap();
}

/// A pipeline that runs.
pub struct Pipeline {
    child: Child,
    folder: PathBuf,
}

impl Pipeline {
    /// Starts one for the ledger at `url`, with its home in the test's folder and its logs in a folder `name` of it.
    pub fn start(db: &TestDb, name: &str, variables: &[(&str, &str)]) -> Self {
        Self::spawn(pipeline_command(db, name, variables), db.dir.path().join(name))
    }

    /// Starts a command made by [`pipeline_command`], or one that starts it.
    pub fn spawn(mut command: Command, folder: PathBuf) -> Self {
        let log = File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap(), folder }
    }

    /// The calls that it was about to record.
    pub fn recorded(&self) -> BTreeSet<Uuid> {
        lines(&self.folder.join("recorded"))
    }

    /// The calls that it knew to be safe.
    pub fn safe(&self) -> BTreeSet<Uuid> {
        lines(&self.folder.join("safe"))
    }

    /// Waits until it has recorded so many calls more.
    pub fn go_on(&mut self, calls: usize) {
        let wanted = self.count("recorded") + calls;
        self.wait("it does not go on recording", |pipeline| pipeline.count("recorded") >= wanted);
    }

    /// Waits until it has so many calls more safe.
    pub fn be_safe(&mut self, calls: usize) {
        let wanted = self.count("safe") + calls;
        self.wait("nothing becomes safe", |pipeline| pipeline.count("safe") >= wanted);
    }

    /// How many calls a log has: each is a line of 37 bytes.
    fn count(&self, log: &str) -> usize {
        let length = self.folder.join(log).metadata().map_or(0, |file| file.len());
        usize::try_from(length).unwrap() / 37
    }

    fn wait(&mut self, what: &str, is_done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !is_done(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the pipeline has ended: {ended:?}\n{}", self.said());
            assert!(Instant::now() < deadline, "{what}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it outright.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop, and does not wait for it.
    pub fn tell_to_stop(&self) {
        std::fs::write(self.folder.join("stop"), "").unwrap();
    }

    /// Tells it to stop; what its recorder counted.
    pub fn stop(&mut self) -> Metrics {
        self.tell_to_stop();
        let deadline = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the pipeline does not end\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}\n{}", self.said());
        serde_json::from_slice(&std::fs::read(self.folder.join("metrics")).unwrap()).unwrap()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // A test that failed leaves it running; one that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command of a pipeline; its folder is made.
pub fn pipeline_command(db: &TestDb, name: &str, variables: &[(&str, &str)]) -> Command {
    let (home, folder) = (db.dir.path().join("home"), db.dir.path().join(name));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "recorder::child::pipeline", "--nocapture", "--test-threads=1"])
        .current_dir(&folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("ASMM_DATABASE_URL", &db.url)
        .env("ASMM_SCHEMA", &db.schema)
        .env(FOLDER, &folder)
        .envs(variables.iter().copied());
    command
}

fn lines(path: &Path) -> BTreeSet<Uuid> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last one may be in the making.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| line.parse().unwrap()).collect()
}
