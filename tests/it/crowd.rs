//! Many writers at once, and writers that are killed: nothing is lost, nothing counts twice.

use crate::support::{Sandbox, TestDb, block_on, on_both_databases};
use crate::writing::{call, now, open, run_id, start};
use asmm::clock::Clock;
use asmm::domain::{Call, FinishRun, Status};
use asmm::store::{Location, PriceScope, Store};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A small generator of numbers, the same in every run of the tests.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

const RUNS: u128 = 8;
const CALLS: u128 = 60;

/// Every call of every run, in another order for each client.
fn shuffled(seed: u64) -> Vec<Call> {
    let mut random = Random(seed);
    let mut calls: Vec<Call> = (1..=RUNS)
        .flat_map(|run| (1..=CALLS).map(move |n| (run, n)))
        .map(|(run, n)| {
            // Half of the runs are started by their calls; models and agents meet in the same rollup rows.
            let pipeline = (run % 2 == 0).then(|| "enrichment".to_owned());
            let agent = format!("agent-{}", n % 3);
            let model = ["gpt-4o", "gpt-4o-mini", "nobody-knows-it"][usize::try_from(n % 3).unwrap()];
            Call { pipeline, agent, model: model.into(), ..call(run, n) }
        })
        .collect();
    for place in (1..calls.len()).rev() {
        calls.swap(place, random.below(place + 1));
    }
    calls
}

/// Sixteen clients deliver the same calls in overlapping batches over all runs, while runs are finished and
/// repriced. Any error at all fails the test: a deadlock would be one.
#[test]
fn sixteen_clients_count_each_call_once() {
    let db = TestDb::postgres();
    block_on(async {
        let store = open(&db).await;
        for run in (1..=RUNS).filter(|run| run % 2 == 1) {
            store.start_run(&start(run)).await.unwrap();
        }
        store.close().await;
    });
    let recorded: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|n| {
                let db = &db;
                scope.spawn(move || block_on(client(db, n)))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(u128::from(recorded), RUNS * CALLS, "each call was recorded by one client");
    block_on(async {
        let store = open(&db).await;
        for run in 1..=RUNS {
            let totals = store.run(run_id(run)).await.unwrap().totals;
            assert_eq!((u128::from(totals.llm_calls), totals.unpriced_calls), (CALLS, 20));
        }
        assert_eq!(store.broken_laws().await.unwrap(), []);
    });
}

/// One client's deliveries; answers how many calls it was the first to bring.
async fn client(db: &TestDb, number: u64) -> u64 {
    let store = Store::open(&Location::new(&db.url, &db.schema), Clock::Fixed(now())).await.unwrap();
    let mut recorded = 0;
    for (place, batch) in shuffled(number).chunks(37).enumerate() {
        recorded += store.record_calls(batch).await.unwrap().recorded;
        if number == 0 && place == 5 {
            let scope = PriceScope { everything: true, ..PriceScope::default() };
            store.reprice(&scope, "test", false).await.unwrap();
        }
        if number == 1 && place == 7 {
            for run in 1..=RUNS {
                let end =
                    FinishRun { run_id: run_id(run), status: Status::Succeeded, completed_at: Some(now()) };
                store.finish_run(&end).await.unwrap();
            }
        }
    }
    recorded
}

/// Eight processes import overlapping halves of the same calls into one file that none of them finds there.
#[test]
fn eight_processes_on_one_new_file_count_each_call_once() {
    let sandbox = Sandbox::new();
    let calls = shuffled(7);
    for process in 0..8_usize {
        let part = calls.iter().cycle().skip(process * 60).take(240);
        let lines: String = part
            .map(|c| {
                let call = Call { pipeline: Some("enrichment".into()), ..c.clone() };
                let mut line = serde_json::to_value(&call).unwrap();
                line["type"] = "call".into();
                format!("{line}\n")
            })
            .fold(String::new(), |text, line| text + &line);
        sandbox.file(&format!("part-{process}.jsonl"), &lines);
    }
    let importers: Vec<_> = (0..8)
        .map(|process| {
            let part = format!("part-{process}.jsonl");
            let mut command =
                sandbox.command(&["--now", "2026-11-20T12:00:00Z", "import", "jsonl", &part, "--strict"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut recorded = 0;
    for importer in importers {
        let output = importer.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        recorded += said.split(' ').next().unwrap().parse::<u128>().unwrap();
    }
    assert_eq!(recorded, RUNS * CALLS);
    let file = sandbox.path().join("home/.local/share/asmm/ledger.db");
    block_on(async {
        let location = Location::new(format!("sqlite:{}", file.display()), "asmm");
        let store = Store::open(&location, Clock::System).await.unwrap();
        assert_eq!(store.broken_laws().await.unwrap(), []);
    });
}

/// Records calls one program at a time and says each one's id when it is acknowledged.
const WRITER: &str = r#"
while read -r id; do
  "$ASMM" runs call --strict --run-id "$RUN" --call-id "$id" --model gpt-4o --provider openai --input 10 --output 1
done"#;

on_both_databases! {
    /// A writer and whatever it runs are killed outright after a random number of acknowledgements.
    async fn what_was_acknowledged_survives_kill_9(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        let mut random = Random(3);
        let mut acknowledged = Vec::new();
        for round in 0..6_u128 {
            let ids: Vec<String> =
                (0..40).map(|n| call(1, round * 100 + n).call_id.to_string()).collect();
            let mut writer = Command::new("sh")
                .args(["-c", WRITER])
                .env("ASMM", env!("CARGO_BIN_EXE_asmm"))
                .env("RUN", run_id(1).to_string())
                .env("ASMM_DATABASE_URL", &db.url)
                .env("ASMM_SCHEMA", &db.schema)
                .env("HOME", db.dir.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .process_group(0)
                .spawn()
                .unwrap();
            std::io::Write::write_all(writer.stdin.as_mut().unwrap(), ids.join("\n").as_bytes()).unwrap();
            let wanted = 1 + random.below(12);
            let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            acknowledged.extend(lines.by_ref().take(wanted).map(Result::unwrap));
            let group = format!("-{}", writer.id());
            assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
            writer.wait().unwrap();
            // What was printed before the kill and not read yet was acknowledged too.
            acknowledged.extend(lines.map_while(Result::ok).filter(|id| id.len() == 36));
        }
        let stored = store.calls(run_id(1), None, 10_000).await.unwrap();
        for id in &acknowledged {
            let times = stored.iter().filter(|c| c.call.call_id.to_string() == *id).count();
            assert_eq!(times, 1, "call {id} was acknowledged");
        }
        assert!(acknowledged.len() >= 6);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}
