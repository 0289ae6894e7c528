//! A checker that finds nothing proves nothing: each law is broken by hand, and the finding says what, where, what was
//! found and what was expected.

use crate::support::{TestDb, on_both_databases};
use crate::writing::{call, now, open, run_id, start};
use asmm::clock::Clock;
use asmm::domain::{Call, FinishRun, StartRun, Status, Timestamp, TokenUsage};
use asmm::pricing::{Origin, PriceEntry, Rates};
use asmm::store::{Location, PriceScope, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, SqliteConnection};
use std::collections::BTreeSet;
use std::str::FromStr;

const OF_RUN: &str = "a run's counters are the sums of its calls";
const OF_ROLLUP: &str = "the rollup is the sum of all calls";
const OF_SETTLED: &str = "settled sums are the sums of the rollup";
const OF_ARCHIVED: &str = "archived sums are the sums of what was archived";
const OF_PLACE: &str = "a call belongs to a run, and to a step of it";
const OF_PRICE: &str = "a call is priced by a price in force when it was made";
const OF_COST: &str = "a call costs its tokens by the rates of its price";
const OF_CHAIN: &str = "each price event starts where the last one ended";
const OF_EVENT: &str = "a price changes only with an event that says so";
const OF_END: &str = "a finished run has an end and a final cost";

/// Run 1 is open, with a call of agent-1 that was priced three times and one of agent-2 without a price; run 2 is
/// finished.
async fn filled(db: &TestDb) -> Store {
    let store = open(db).await;
    // Nobody settles by the way: the tests here say when.
    ByHand::to(db)
        .await
        .run(&format!(
            "update settlement set settled_at = {}",
            match store {
                Store::Postgres(_) => "'2100-01-01T00:00:00Z'",
                Store::Sqlite(_) => "4102444800000000",
            }
        ))
        .await;
    let usage = Some(TokenUsage {
        input: 1000,
        cache_read: 900,
        cache_write: 800,
        cache_write_long: 700,
        output: 600,
        reasoning: 500,
        embedding: 400,
        web_searches: 3,
    });
    let of = |run, n: u128, model: &str| Call {
        provider: "acme".into(),
        model: model.into(),
        agent: format!("agent-{n}"),
        usage,
        ..call(run, n)
    };
    for n in [1, 2] {
        store.start_run(&StartRun { pipeline: format!("pipeline-{n}"), ..start(n) }).await.unwrap();
    }
    store.record_calls(&[of(1, 1, "m-1"), of(1, 2, "nobody-knows-it"), of(2, 3, "m-1")]).await.unwrap();
    for factor in [1, 2, 3] {
        store.push_prices(Origin::User, "prices.yaml", &prices(factor)).await.unwrap();
        store.price_all_names().await.unwrap();
        let scope = PriceScope { everything: true, ..PriceScope::default() };
        store.reprice(&scope, "corrected", false).await.unwrap();
    }
    let end = FinishRun { run_id: run_id(2), status: Status::Succeeded, completed_at: Some(now()) };
    store.finish_run(&end).await.unwrap();
    assert_eq!(store.broken_laws().await.unwrap(), []);
    store
}

/// The price of m-1, which lacks some rates; the same rates for later, larger and batched calls.
fn prices(factor: i64) -> Vec<PriceEntry> {
    let entry = PriceEntry {
        provider: "acme".into(),
        model: "m-1".into(),
        service_tier: "standard".into(),
        over_input_tokens: 0,
        effective_from: Timestamp::from_micros(0),
        daily_utc: None,
        rates: Rates {
            input: Some(100 * factor),
            cache_write: Some(125 * factor),
            output: Some(400 * factor),
            embedding: Some(7 * factor),
            web_search: Some(10_000),
            request: Some(1),
            ..Rates::default()
        },
        source: "a test".into(),
        origin: Origin::User,
        revision: 0,
        price_id: None,
    };
    let larger = PriceEntry { over_input_tokens: 3400, ..entry.clone() };
    let batched = PriceEntry { service_tier: "batch".into(), ..entry.clone() };
    let later = PriceEntry { effective_from: now().plus_micros(1), ..entry.clone() };
    vec![entry, larger, batched, later]
}

/// A connection for which nothing is refused.
enum ByHand {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl ByHand {
    async fn to(db: &TestDb) -> Self {
        if db.url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(&db.url).unwrap().foreign_keys(false);
            Self::Sqlite(options.connect().await.unwrap())
        } else {
            let options = PgConnectOptions::from_str(&db.url).unwrap();
            Self::Postgres(options.options([("search_path", &db.schema)]).connect().await.unwrap())
        }
    }

    /// As [`ByHand::to`], without what stands in the way.
    async fn connect(db: &TestDb) -> Self {
        let mut hand = Self::to(db).await;
        if let Self::Sqlite(connection) = &mut hand {
            let triggers: Vec<String> =
                sqlx::query_scalar("select name from sqlite_master where type = 'trigger'")
                    .fetch_all(connection)
                    .await
                    .unwrap();
            for trigger in triggers {
                hand.run(&format!("drop trigger {trigger}")).await;
            }
            hand.run("pragma ignore_check_constraints = on").await;
        } else {
            for table in ["pipeline_run", "llm_call", "price_event", "archived_part", "archived_spend"] {
                hand.run(&format!("alter table {table} disable trigger user")).await;
            }
            hand.run("alter table llm_call drop constraint llm_call_price_is_whole").await;
        }
        for table in [
            "pipeline_run",
            "llm_call",
            "spend_rollup",
            "settled_spend_day",
            "archived_part",
            "archived_spend",
        ] {
            hand.run(&format!("create table kept_{table} as select * from {table}")).await;
        }
        hand
    }

    async fn run(&mut self, sql: &str) {
        let statement = AssertSqlSafe(sql.to_owned());
        let outcome = match self {
            Self::Postgres(c) => sqlx::raw_sql(statement).execute(c).await.map(|done| done.rows_affected()),
            Self::Sqlite(c) => sqlx::raw_sql(statement).execute(c).await.map(|done| done.rows_affected()),
        };
        let rows = outcome.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(rows > 0 || !sql.starts_with("update"), "{sql}: no row is like that");
    }
}

/// What is done, how it is undone, and the laws it breaks.
struct Case {
    sql: String,
    undo: String,
    breaks: Vec<&'static str>,
}

fn case(sql: impl Into<String>, undo: impl Into<String>, breaks: &[&'static str]) -> Case {
    Case { sql: sql.into(), undo: undo.into(), breaks: breaks.to_vec() }
}

const COUNTERS: [&str; 11] = [
    "llm_calls",
    "unpriced_calls",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_long_tokens",
    "output_tokens",
    "reasoning_tokens",
    "embedding_tokens",
    "web_searches",
    "cost_pico",
];

/// What breaks the law of a ledger whose rollup is settled.
fn settled_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut by_one = |table: &str, column: &str, row: &str, breaks: &[&'static str]| {
        let change = |sign| format!("update {table} set {column} = {column} {sign} 1 where {row}");
        cases.push(case(change("+"), change("-"), breaks));
    };
    for column in COUNTERS {
        by_one("settled_spend_day", column, "agent = 'agent-1'", &[OF_SETTLED]);
        by_one("settled_spend_bucket", column, "bucket > 7", &[OF_SETTLED]);
        by_one("spend_rollup", column, "agent = 'agent-1'", &[OF_ROLLUP, OF_SETTLED]);
    }
    cases.push(case(
        "insert into settled_spend_day values (7, 'p', 'a', 'x', 'y', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        "delete from settled_spend_day where day = 7",
        &[OF_SETTLED],
    ));
    cases.push(case(
        "delete from settled_spend_day where agent = 'agent-1'",
        "insert into settled_spend_day select * from kept_settled_spend_day where agent = 'agent-1'",
        &[OF_SETTLED],
    ));
    // An open lane that is taken for a settled one.
    cases.push(case(
        "update spend_rollup set lane = 1 where agent = 'agent-1'",
        "update spend_rollup set lane = 0 where agent = 'agent-1'",
        &[OF_SETTLED],
    ));
    cases
}

/// What breaks the laws of a ledger with archived calls of run 2.
fn archived_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for column in COUNTERS.into_iter().filter(|column| *column != "unpriced_calls") {
        let change = |sign| format!("update archived_spend set {column} = {column} {sign} 1");
        let mut breaks = vec![OF_RUN, OF_ROLLUP];
        breaks.extend((column == "llm_calls").then_some(OF_ARCHIVED));
        cases.push(case(change("+"), change("-"), &breaks));
    }
    cases.push(case(
        "delete from archived_part",
        "insert into archived_part select * from kept_archived_part",
        &[OF_ARCHIVED],
    ));
    cases.push(case(
        "delete from archived_spend",
        "insert into archived_spend select * from kept_archived_spend",
        &[OF_RUN, OF_ROLLUP, OF_ARCHIVED],
    ));
    cases
}

fn cases() -> Vec<Case> {
    let counters = COUNTERS;
    let mut cases = Vec::new();
    let mut by_one = |table: &str, column: &str, row: &str, breaks: &[&'static str]| {
        let change = |sign| format!("update {table} set {column} = {column} {sign} 1 where {row}");
        cases.push(case(change("+"), change("-"), breaks));
    };
    for column in counters {
        by_one("pipeline_run", column, "pipeline = 'pipeline-1'", &[OF_RUN]);
        by_one("spend_rollup", column, "agent = 'agent-1'", &[OF_ROLLUP]);
    }
    for column in &counters[2..10] {
        by_one("llm_call", column, "agent = 'agent-1'", &[OF_RUN, OF_ROLLUP, OF_COST]);
    }
    by_one("llm_call", "cost_pico", "agent = 'agent-1'", &[OF_RUN, OF_ROLLUP, OF_COST, OF_EVENT]);
    let of_event = |aggregate: &str| {
        format!(
            "price_event_id = (select {aggregate} from price_event e
                               join llm_call c on c.run_id = e.run_id and c.call_id = e.call_id
                               where c.agent = 'agent-1')"
        )
    };
    by_one("price_event", "cost_after", &of_event("max(e.price_event_id)"), &[OF_EVENT]);
    by_one("price_event", "cost_after", &of_event("min(e.price_event_id)"), &[OF_CHAIN]);
    by_one("price_event", "cost_before", &of_event("max(e.price_event_id)"), &[OF_CHAIN]);
    by_one("price_event", "price_before", &of_event("max(e.price_event_id)"), &[OF_CHAIN]);

    // A row of nothing, a row that is gone, and a row of another model.
    cases.push(case(
        "insert into spend_rollup values (7, 'p', 'a', 'x', 'y', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)",
        "delete from spend_rollup where bucket = 7",
        &[OF_ROLLUP],
    ));
    cases.push(case(
        "delete from spend_rollup where agent = 'agent-1'",
        "insert into spend_rollup select * from kept_spend_rollup where agent = 'agent-1'",
        &[OF_ROLLUP],
    ));
    let named = |name: &str| format!("update spend_rollup set model = '{name}' where agent = 'agent-1'");
    cases.push(case(named("m-9"), named("m-1"), &[OF_ROLLUP]));
    cases.push(case(
        "delete from llm_call where agent = 'agent-2'",
        "insert into llm_call select * from kept_llm_call where agent = 'agent-2'",
        &[OF_RUN, OF_ROLLUP],
    ));
    cases.push(case(
        "update llm_call set step_id = call_id where agent = 'agent-1'",
        "update llm_call set step_id = null where agent = 'agent-1'",
        &[OF_PLACE],
    ));
    // Everything agrees but the arithmetic.
    let everywhere = |sign| {
        format!(
            "update llm_call set cost_pico = cost_pico {sign} 1 where agent = 'agent-1';
             update pipeline_run set cost_pico = cost_pico {sign} 1 where pipeline = 'pipeline-1';
             update spend_rollup set cost_pico = cost_pico {sign} 1 where agent = 'agent-1';
             update price_event set cost_after = cost_after {sign} 1 where {}",
            of_event("max(e.price_event_id)")
        )
    };
    cases.push(case(everywhere("+"), everywhere("-"), &[OF_COST]));

    let restored = |table: &str, columns: &[&str], key: &str, row: &str| {
        let sets: Vec<String> = columns
            .iter()
            .map(|column| {
                format!("{column} = (select k.{column} from kept_{table} k where k.{key} = {table}.{key})")
            })
            .collect();
        format!("update {table} set {} where {row}", sets.join(", "))
    };
    let priced_by = |price: &str| {
        case(
            format!("update llm_call set price_id = ({price}) where agent = 'agent-1'"),
            restored("llm_call", &["price_id"], "agent", "agent = 'agent-1'"),
            &[OF_PRICE, OF_EVENT],
        )
    };
    cases.push(priced_by("select 987654321"));
    for other in ["over_input_tokens = 3400", "service_tier = 'batch'"] {
        cases.push(priced_by(&format!(
            "select max(price_id) from model_price where provider = 'acme' and {other}"
        )));
    }
    cases.push(priced_by(
        "select price_id from model_price where provider = 'acme' order by revision desc, effective_from desc limit 1",
    ));
    let unpriced = restored("llm_call", &["pricing_state", "price_id", "cost_pico"], "agent", "agent <> ''");
    cases.push(case(
        "update llm_call set cost_pico = 1 where agent = 'agent-2'",
        unpriced.clone(),
        &[OF_RUN, OF_ROLLUP, OF_PRICE],
    ));
    cases.push(case(
        "update llm_call set pricing_state = 'unpriced' where agent = 'agent-1'",
        unpriced,
        &[OF_RUN, OF_ROLLUP, OF_PRICE, OF_EVENT],
    ));

    let ends = ["status_id", "completed_at", "costed_at"];
    for (change, pipeline) in [
        ("status_id = 1", "pipeline-2"),
        ("completed_at = null, costed_at = null", "pipeline-2"),
        ("status_id = 2", "pipeline-1"),
    ] {
        let row = format!("pipeline = '{pipeline}'");
        let sql = format!("update pipeline_run set {change} where {row}");
        cases.push(case(sql, restored("pipeline_run", &ends, "pipeline", &row), &[OF_END]));
    }
    // Not undone: the second of three events is gone, and then the last.
    cases.push(case(
        format!("delete from price_event where {}", of_event("min(e.price_event_id) + 2")),
        "select 1",
        &[OF_CHAIN],
    ));
    cases.push(case(
        format!("delete from price_event where {}", of_event("max(e.price_event_id)")),
        "select 1",
        &[OF_EVENT],
    ));
    cases
}

on_both_databases! {
    async fn what_is_changed_by_hand_in_settled_sums_is_found(db: TestDb) {
        let store = filled(&db).await;
        let days_later = Clock::Fixed(now().plus_micros(3 * 86_400_000_000));
        let later = Store::open(&Location::new(&db.url, &db.schema), days_later).await.unwrap();
        assert!(later.settle().await.unwrap() >= 3);
        let mut hand = ByHand::connect(&db).await;
        for Case { sql, undo, breaks } in settled_cases() {
            hand.run(&sql).await;
            let broken = store.broken_laws().await.unwrap();
            let laws: BTreeSet<&str> = broken.iter().map(|b| b.law).collect();
            assert_eq!(laws, breaks.into_iter().collect(), "{sql}: {broken:#?}");
            hand.run(&undo).await;
            assert_eq!(store.broken_laws().await.unwrap(), [], "after {undo}");
        }
    }

    async fn what_is_changed_by_hand_in_archived_sums_is_found(db: TestDb) {
        let store = filled(&db).await;
        let archive = store.start_archive("a-file", now()).await.unwrap();
        let line = store.next_archive_line(run_id(2), None).await.unwrap().unwrap();
        assert_eq!(store.archive_line(archive, &line.text).await.unwrap(), 1);
        assert_eq!(store.broken_laws().await.unwrap(), []);
        let mut hand = ByHand::connect(&db).await;
        for Case { sql, undo, breaks } in archived_cases() {
            hand.run(&sql).await;
            let broken = store.broken_laws().await.unwrap();
            let laws: BTreeSet<&str> = broken.iter().map(|b| b.law).collect();
            assert_eq!(laws, breaks.into_iter().collect(), "{sql}: {broken:#?}");
            hand.run(&undo).await;
            assert_eq!(store.broken_laws().await.unwrap(), [], "after {undo}");
        }
    }

    async fn what_is_changed_by_hand_is_found(db: TestDb) {
        let store = filled(&db).await;
        let mut hand = ByHand::connect(&db).await;
        for Case { sql, undo, breaks } in cases() {
            hand.run(&sql).await;
            let broken = store.broken_laws().await.unwrap();
            let laws: BTreeSet<&str> = broken.iter().map(|b| b.law).collect();
            assert_eq!(laws, breaks.into_iter().collect(), "{sql}: {broken:#?}");
            for finding in &broken {
                assert!(finding.found != finding.expected, "{sql}: {finding}");
                assert!(!finding.thing.is_empty(), "{sql}: {finding}");
            }
            hand.run(&undo).await;
            if undo != "select 1" {
                assert_eq!(store.broken_laws().await.unwrap(), [], "after {undo}");
            }
        }
    }

    async fn findings_say_what_and_where(db: TestDb) {
        let store = filled(&db).await;
        let mut hand = ByHand::connect(&db).await;
        hand.run("update llm_call set cost_pico = cost_pico + 1, output_tokens = 601 where agent = 'agent-1'").await;
        hand.run("insert into spend_rollup values (7, 'p', 'a', 'x', 'y', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)").await;
        hand.run("update pipeline_run set status_id = 1 where pipeline = 'pipeline-2'").await;
        let broken = store.broken_laws().await.unwrap();
        let price = store.prices(Some("acme"), None, None).await.unwrap();
        let price = price.iter().filter(|p| p.over_input_tokens == 0 && p.effective_from < now());
        let price = price.filter(|p| p.service_tier == "standard").filter_map(|p| p.price_id).max().unwrap();
        let shown: Vec<String> = broken.iter().map(ToString::to_string).collect();
        let shown = shown.join("\n").replace(&format!("price {price},"), "price [id],").replace(": found ", "\n  found    ");
        let shown = shown.replace(", expected ", "\n  expected ");
        insta::allow_duplicates! { insta::assert_snapshot!(shown, @r"
        a run's counters are the sums of its calls: run `00000000-0000-0000-0000-000000000001`, pipeline-1
          found    2 calls, 1 unpriced, 2000+1800+1600+1400 in, 1200+1000 out, 800 embedded, 6 searches, 2490901 picodollars
          expected 2 calls, 1 unpriced, 2000+1800+1600+1400 in, 1201+1000 out, 800 embedded, 6 searches, 2490902 picodollars
        the rollup is the sum of all calls: 1994640 pipeline-1 agent-1 acme m-1
          found    1 calls, 0 unpriced, 1000+900+800+700 in, 600+500 out, 400 embedded, 3 searches, 2490901 picodollars
          expected 1 calls, 0 unpriced, 1000+900+800+700 in, 601+500 out, 400 embedded, 3 searches, 2490902 picodollars
        the rollup is the sum of all calls: 7 p a x y
          found    1 calls, 0 unpriced, 0+0+0+0 in, 0+0 out, 0 embedded, 0 searches, 0 picodollars
          expected no row
        a call costs its tokens by the rates of its price: run `00000000-0000-0000-0000-000000000001`, acme/m-1
          found    2490902 picodollars
          expected 2492101 picodollars
        a price changes only with an event that says so: run `00000000-0000-0000-0000-000000000001`, acme/m-1
          found    estimated, price [id], 2490902 picodollars
          expected estimated, price [id], 2490901 picodollars
        a finished run has an end and a final cost: run `00000000-0000-0000-0000-000000000002`, pipeline-2
          found    running with an end
          expected neither end nor final cost
        "); }
    }
}
