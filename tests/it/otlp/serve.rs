//! `asmm serve` as clients meet it.

use super::held::metric;
use super::receiver::{JSON, PROTOBUF, Receiver, post, wait_until};
use super::{bodies, journal, now, spans};
use crate::support::{Sandbox, Server, block_on};
use asmm::clock::Clock;
use asmm::domain::{Span, resolve};
use asmm::store::{Location, Store};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

pub fn sandboxes() -> [Sandbox; 2] {
    let at = "2026-11-30T12:00:00Z";
    let postgres = Sandbox::new().with_postgres().with_now(at);
    assert_eq!(postgres.run(&["migrate"]).code, 0);
    let sqlite = Sandbox::new().with_now(at);
    let url = format!("sqlite:{}", sqlite.path().join("ledger.db").display());
    [sqlite.with_env("ASMM_DATABASE_URL", url), postgres]
}

pub fn location(sandbox: &Sandbox) -> Location {
    Location::new(sandbox.env("ASMM_DATABASE_URL").unwrap(), sandbox.env("ASMM_SCHEMA").unwrap_or("asmm"))
}

/// The ledger holds just the calls of these spans, and keeps the laws.
pub fn check(sandbox: &Sandbox, sent: &[Span]) {
    block_on(async {
        let store = Store::open(&location(sandbox), Clock::Fixed(now())).await.unwrap();
        let expected = resolve(sent).calls;
        assert!(!expected.is_empty());
        let found = journal(&store).await;
        let missing = expected.iter().filter(|(key, call)| found.get(*key) != Some(call)).count();
        assert_eq!((missing, found.len()), (0, expected.len()));
        assert_eq!(store.broken_laws().await.unwrap(), []);
        store.close().await;
    });
}

#[test]
fn every_recorded_body_comes_in() {
    for sandbox in sandboxes() {
        let receiver = Receiver::start(&sandbox, &[]);
        let mut sent = Vec::new();
        for (name, body) in bodies() {
            sent.extend(spans(&body));
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/otlp");
            let json = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(&body).unwrap();
            let gzip = packer.finish().unwrap();
            // The same spans four times.
            assert_eq!(receiver.post("/v1/traces", &[PROTOBUF], &body), (200, vec![]), "{name}");
            assert_eq!(receiver.post("/v1/traces", &[JSON], &json), (200, b"{}".to_vec()), "{name}");
            for _ in 0..2 {
                let answer = receiver.post("/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], &gzip);
                assert_eq!(answer, (200, vec![]), "{name}");
            }
        }
        // What was answered is there already.
        check(&sandbox, &sent);
        let (status, metrics) = receiver.get("/metrics");
        assert_eq!(status, 200);
        let answered = format!("asmm_serve_requests_total{{answer=\"ok\"}} {}\n", 4 * bodies().len());
        assert!(metrics.contains(&answered), "{metrics}");
        assert!(metrics.contains(&format!("asmm_serve_spans_total {}\n", sent.len())), "{metrics}");
        assert_eq!(receiver.post("/v1/metrics", &[PROTOBUF], b"anything"), (200, vec![]));
        assert_eq!(receiver.get("/healthz"), (200, "alive\n".to_owned()));
        assert_eq!(receiver.get("/readyz"), (200, "ready\n".to_owned()));
        let (said, code) = receiver.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("{} spans taken in", sent.len())), "{said}");
        let spend = sandbox.run(&["spend", "agent", "--days", "30", "--format", "csv"]);
        assert!(spend.stdout.contains("planner"), "{}", spend.stdout);
    }
}

/// Path, headers, body; and the status and some words of the answer.
type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], &'c [u8], u16, &'c str);

#[test]
fn what_is_no_request_is_refused_in_words() {
    let [sandbox, _] = sandboxes();
    let receiver = Receiver::start(&sandbox, &["--max-body", "1"]);
    let (_, body) = bodies().pop_first().unwrap();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 8 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let gzip = ("content-encoding", "gzip");
    let cases: &[Case<'_>] = &[
        ("/v1/traces", &[], &body, 415, "application/x-protobuf or application/json"),
        ("/v1/traces", &[("content-type", "text/plain")], &body, 415, "`text/plain`"),
        ("/v1/traces", &[PROTOBUF, ("content-encoding", "br")], &body, 415, "`br`"),
        ("/v1/traces", &[PROTOBUF], &body[..body.len() - 3], 400, "no protobuf"),
        ("/v1/traces", &[PROTOBUF, gzip], &body, 400, "no gzip"),
        ("/v1/traces", &[PROTOBUF, gzip], &bomb, 413, "unpacks to more than 2 MiB"),
        ("/v1/traces", &[PROTOBUF], &vec![0; (1 << 20) + 1], 413, "larger than 1 MiB"),
        ("/v1/traces", &[JSON], b"{\"resourceSpans\":[", 400, "no JSON"),
        ("/v1/logs", &[JSON], b"[]", 400, "no JSON"),
        ("/v1/spans", &[JSON], b"{}", 404, "/v1/traces"),
    ];
    for (path, headers, body, status, words) in cases {
        let (found, answer) = receiver.post(path, headers, body);
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(found, *status, "{path} {headers:?}: {answer}");
        assert!(answer.contains(words), "{path} {headers:?}: {answer}");
    }
    assert_eq!(receiver.get("/v1/traces").0, 405);
    // A request that is half good is taken as far as it is.
    let half = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00f067aa0ba902b7",
        "startTimeUnixNano":"1795370000000000000","endTimeUnixNano":"1795370001000000000"},{"traceId":"","spanId":""}]}]}]}"#;
    let (status, answer) = receiver.post("/v1/traces", &[JSON], half);
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        r#"{"partialSuccess":{"errorMessage":"the span has no trace id","rejectedSpans":"1"}}"#
    );
    // And all of that has kept nobody else from being served.
    assert_eq!(receiver.post("/v1/traces", &[PROTOBUF], &body).0, 200);
}

#[test]
fn a_token_is_asked_for() {
    let [sandbox, _] = sandboxes();
    let file = sandbox.file("token", "s3cret-word\n");
    let receiver = Receiver::start(&sandbox, &["--token-file", file.to_str().unwrap()]);
    let (_, body) = bodies().pop_first().unwrap();
    let with = |value| receiver.post("/v1/traces", &[PROTOBUF, ("authorization", value)], &body).0;
    assert_eq!(receiver.post("/v1/traces", &[PROTOBUF], &body).0, 401);
    assert_eq!(with("Bearer s3cret"), 401);
    assert_eq!(with("Basic s3cret-word"), 401);
    assert_eq!(with("Bearer s3cret-word"), 200);
    assert_eq!(receiver.get("/metrics").0, 401);
    assert_eq!(receiver.get("/healthz").0, 200);
    drop(receiver);
    let refused = sandbox.run(&["serve", "--listen", "0.0.0.0:0"]);
    insta::assert_snapshot!(refused.snapshot(), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `0.0.0.0:0` can be reached from other machines, and there is no token
    hint: put one into a file and give --token-file PATH, or set ASMM_SERVE_TOKEN; or listen on 127.0.0.1
    ");
}

/// Clients that send slowly, and those that go away, keep nobody waiting.
#[test]
fn slow_senders_keep_nobody_waiting() {
    let [sandbox, _] = sandboxes();
    let receiver = Receiver::start(&sandbox, &[]);
    let (_, body) = bodies().pop_first().unwrap();
    let mut slow: Vec<TcpStream> = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(&receiver.address).unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        if number % 2 == 0 {
            // They announce more than all requests may hold together.
            stream.write_all(b"content-length: 16000000\r\n\r\nabc").unwrap();
        } else if number % 4 == 1 {
            stream.write_all(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").unwrap();
        }
        slow.push(stream);
    }
    assert_eq!(receiver.post("/v1/traces", &[PROTOBUF], &body).0, 200);
    drop(slow);
    let mut cut = TcpStream::connect(&receiver.address).unwrap();
    cut.write_all(b"\x16\x03\x01 nonsense\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    cut.read_to_end(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("400"));
    assert_eq!(receiver.post("/v1/traces", &[PROTOBUF], &body).0, 200);
    let (_, code) = receiver.end();
    assert_eq!(code, Some(0));
}

/// A body of `count` traces, each with an agent and two calls, all different from those of other numbers.
pub fn load(number: u64, count: u64) -> Vec<u8> {
    let spans: Vec<String> = (0..count)
        .flat_map(|n| {
            let trace = format!("{:016x}{:016x}", number + 1, n + 1);
            let start = 1_795_370_000_000_000_000 + number * 1_000_000_000;
            let span = |id: u64, parent: &str, attributes: &str| {
                format!(
                    "{{\"traceId\":\"{trace}\",\"spanId\":\"{id:016x}\",\"parentSpanId\":\"{parent}\",\"name\":\"x\",\
                     \"startTimeUnixNano\":\"{start}\",\"endTimeUnixNano\":\"{}\",\"attributes\":[{attributes}]}}",
                    start + 5_000_000
                )
            };
            let text = |key: &str, value: &str| format!("{{\"key\":\"{key}\",\"value\":{{\"stringValue\":\"{value}\"}}}}");
            let count = |key: &str, value: u64| format!("{{\"key\":\"{key}\",\"value\":{{\"intValue\":\"{value}\"}}}}");
            let chat = |n: u64| {
                [
                    text("gen_ai.operation.name", "chat"),
                    text("gen_ai.provider.name", "openai"),
                    text("gen_ai.response.model", "gpt-4o"),
                    text("gen_ai.response.id", &format!("r-{trace}-{n}")),
                    count("gen_ai.usage.input_tokens", 100 + n),
                    count("gen_ai.usage.output_tokens", 10),
                ]
                .join(",")
            };
            let root = format!("{:016x}", 1);
            let agent = [text("gen_ai.operation.name", "invoke_agent"), text("gen_ai.agent.name", "planner")].join(",");
            [span(2, &root, &chat(1)), span(3, &root, &chat(2)), span(1, "", &agent)]
        })
        .collect();
    format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{}]}}]}}]}}", spans.join(",")).into_bytes()
}

pub fn spans_of(body: &[u8]) -> Vec<Span> {
    use asmm::intake::otlp::{Encoding, Signal, Texts, read};
    read(body, (Signal::Traces, Encoding::Json), Texts::Drop, now()).unwrap().spans
}

/// Sends bodies from four clients until told to stop. Answers those that were answered with 200, and sends the others again
/// when there is somebody who answers.
pub struct Clients {
    numbers: std::sync::atomic::AtomicU64,
    pub answered: Mutex<Vec<u64>>,
    pub unanswered: Mutex<Vec<u64>>,
    pub is_over: std::sync::atomic::AtomicBool,
}

impl Clients {
    pub fn new() -> Self {
        Self {
            numbers: 0.into(),
            answered: Mutex::default(),
            unanswered: Mutex::default(),
            is_over: false.into(),
        }
    }

    pub fn send(&self, url: &str) {
        use std::sync::atomic::Ordering::Relaxed;
        while !self.is_over.load(Relaxed) {
            let number = self.numbers.fetch_add(1, Relaxed);
            match post(url, &[JSON], &load(number, 5)) {
                Some((200, _)) => self.answered.lock().unwrap().push(number),
                _ => self.unanswered.lock().unwrap().push(number),
            }
        }
    }

    pub fn answered(&self) -> usize {
        self.answered.lock().unwrap().len()
    }
}

#[test]
fn what_was_answered_survives_kill_9_of_the_receiver() {
    for sandbox in sandboxes() {
        let clients = Clients::new();
        let receiver = Receiver::start(&sandbox, &[]);
        let url = receiver.url("/v1/traces");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| clients.send(&url));
            }
            wait_until("sixty answers", || clients.answered() >= 60);
            receiver.kill();
            clients.is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        // What was not answered may be there, and is sent again, as clients do.
        let receiver = Receiver::start(&sandbox, &[]);
        let mut sent: Vec<Span> = Vec::new();
        for number in clients.unanswered.lock().unwrap().iter() {
            assert_eq!(receiver.post("/v1/traces", &[JSON], &load(*number, 5)).0, 200);
            sent.extend(spans_of(&load(*number, 5)));
        }
        for number in clients.answered.lock().unwrap().iter() {
            sent.extend(spans_of(&load(*number, 5)));
        }
        assert_eq!(receiver.end().1, Some(0));
        check(&sandbox, &sent);
    }
}

#[test]
fn a_ledger_that_is_away_loses_nothing() {
    let server = Server::new();
    server.start();
    let sandbox = Sandbox::new().with_now("2026-11-30T12:00:00Z");
    let sandbox = sandbox.with_env("ASMM_DATABASE_URL", server.url()).with_env("ASMM_SCHEMA", "asmm");
    assert_eq!(sandbox.run(&["migrate"]).code, 0);
    let receiver = Receiver::start(&sandbox, &[]);
    let url = receiver.url("/v1/traces");
    let clients = Clients::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| clients.send(&url));
        }
        wait_until("thirty answers", || clients.answered() >= 30);
        server.crash();
        let before = clients.answered();
        // What is answered while a transaction is tried is held; when that has failed it is spooled.
        wait_until("thirty more without a ledger", || {
            clients.answered() >= before + 30 && metric(&receiver, "spans_spooled_total") > 0
        });
        server.start();
        let (before, recorded) = (clients.answered(), metric(&receiver, "spans_total"));
        wait_until("thirty more with it", || {
            clients.answered() >= before + 30 && metric(&receiver, "spans_total") > recorded
        });
        clients.is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(clients.unanswered.lock().unwrap().len(), 0);
    let (said, code) = receiver.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the ledger is back"), "{said}");
    // What is still on disk is delivered by whoever comes next.
    let drained = sandbox.run(&["spool", "drain"]);
    assert_eq!(drained.code, 0, "{}", drained.stderr);
    let answered = clients.answered.lock().unwrap().clone();
    let sent: Vec<Span> = answered.iter().flat_map(|number| spans_of(&load(*number, 5))).collect();
    check(&sandbox, &sent);
    // A receiver that starts without a ledger takes spans all the same.
    server.crash();
    let receiver = Receiver::start(&sandbox, &[]);
    assert_eq!(receiver.post("/v1/traces", &[JSON], &load(1_000_000, 5)).0, 200);
    let (said, _) = receiver.end();
    assert!(said.contains("into the spool"), "{said}");
    server.start();
    assert_eq!(sandbox.run(&["spool", "drain"]).code, 0);
    let sent: Vec<Span> = sent.into_iter().chain(spans_of(&load(1_000_000, 5))).collect();
    check(&sandbox, &sent);
}
