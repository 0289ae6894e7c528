//! What was recorded stays: the database itself refuses the change, whoever asks for it.

use super::{dump, filled};
use crate::support::{TestDb, block_on, psql_program};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use std::str::FromStr;

/// Every table but the rollup, and its columns that may change: where a run stands, and prices.
const TABLES: [(&str, &[&str]); 21] = [
    ("status_lookup", &[]),
    ("price_catalogue", &[]),
    ("model_price", &[]),
    ("model_alias", &[]),
    ("prompt", &[]),
    ("prompt_version", &[]),
    ("prompt_label", &[]),
    ("prompt_text", &[]),
    (
        "pipeline_run",
        &[
            "status_id",
            "completed_at",
            "costed_at",
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
        ],
    ),
    ("pipeline_step_run", &["status_id", "completed_at"]),
    ("llm_call", &["price_id", "pricing_state", "cost_pico"]),
    ("llm_call_prompt", &[]),
    ("price_event", &[]),
    ("guard_event", &[]),
    ("call_archive", &["moving"]),
    ("archived_part", &[]),
    ("archived_spend", &[]),
    ("withdrawn_call", &[]),
    ("provider_bucket", &[]),
    ("provider_usage", &[]),
    ("budget", &[]),
];

/// A row for each table that `filled` leaves empty; `SHA` is a digest and `NOW` a time.
const ROWS: &str = "
    insert into prompt (name, created_at) values ('p', NOW);
    insert into prompt_version (prompt_id, version, digest, content, source, created_at, created_by)
      select prompt_id, 1, SHA, '{}', '', NOW, 'me' from prompt;
    insert into prompt_label (prompt_id, label, prompt_version_id, moved_at, moved_by)
      select prompt_id, 'production', prompt_version_id, NOW, 'me' from prompt_version;
    insert into prompt_text (text_sha256, body, recorded_at) values (SHA, 'text', NOW);
    insert into llm_call_prompt (run_id, call_id, inputs, text_sha256, sanitisation, sent_at)
      select run_id, call_id, '{}', SHA, 'clean', called_at from llm_call;
    insert into price_event (run_id, call_id, state_before, state_after, price_after, cost_after, reason,
                             recorded_at, recorded_by)
      select run_id, call_id, 'unpriced', pricing_state, price_id, cost_pico, 'test', NOW, 'me' from llm_call;
    insert into guard_event (run_id, call_id, detector, findings, decision, reason, fingerprint, rules_sha256,
                             policy_sha256, recorded_at)
      select run_id, call_id, 'email', 1, 'redact', 'test', SHA, SHA, SHA, NOW from llm_call;
    insert into call_archive (file, before, archived_at, archived_by) values ('f', NOW, NOW, 'me');
    insert into archived_part (run_id, sha256, archive_id, llm_calls, call_ids)
      select min(run_id), SHA, min(archive_id), 1, IDS from pipeline_run, call_archive;
    insert into archived_spend
      select run_id, 1, '', '', '', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 from archived_part;
    insert into withdrawn_call (run_id, call_id, call, reason, withdrawn_at, withdrawn_by)
      select run_id, run_id, '{}', 'test', NOW, 'me' from llm_call;
    insert into provider_bucket (provider, report, day, starts_at, ends_at, revision, sha256, lines, source, imported_at,
                                 imported_by)
      select 'openai', 'costs', 1, min(effective_from), NOW, 1, SHA, 1, 'f', NOW, 'me' from model_price;
    insert into provider_usage (bucket_id, line, model, billed_pico) select bucket_id, 1, 'm', 1 from provider_bucket;
    insert into budget (name, limit_pico, period, time_zone, is_hard, is_removed, set_at, set_by)
      values ('b', 1, 'day', 'UTC', true, false, NOW, 'me');
";

/// psql as the superuser who owns the ledger, which goes on after an error: what was done, and what was said.
fn all_by_psql(db: &TestDb, statements: &[String]) -> (String, String) {
    let mut psql = psql_program(&db.schema);
    psql.args(["-v", "ON_ERROR_STOP=0"]);
    for sql in statements {
        psql.args(["-c", sql]);
    }
    let output = psql.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn in_postgres() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        let rows = ROWS.replace("min(run_id)", "(min(run_id::text)::uuid)").replace("NOW", "now()");
        let rows = rows.replace("SHA", "sha256('x')").replace("IDS", "array[gen_random_uuid()]");
        assert_eq!(all_by_psql(&db, &[rows]).1, "");
        let before = dump(&store).await;
        for (table, may_change) in TABLES {
            let list = format!(
                "select attname from pg_attribute
                 where attrelid = '{table}'::regclass and attnum > 0 and attgenerated = '' and attidentity = ''"
            );
            let columns = all_by_psql(&db, &[list]).0;
            let columns: Vec<&str> = columns.lines().filter(|c| !may_change.contains(c)).collect();
            assert!(!columns.is_empty(), "{table}");
            let mut statements: Vec<String> =
                columns.iter().map(|c| format!("update {table} set {c} = {c}")).collect();
            let updates = statements.len();
            statements.push(format!("delete from {table}"));
            statements.push(format!("truncate {table} cascade"));
            statements.push(format!("truncate {table} restart identity cascade"));
            let (done, said) = all_by_psql(&db, &statements);
            assert_eq!(done, "", "{table}: something was done");
            let count = |what: &str| said.matches(what).count();
            let update = format!("ERROR:  {table} is append-only: update is refused");
            assert_eq!(count(&update), updates, "{said}");
            assert_eq!(count(&format!("ERROR:  {table} is append-only: delete is refused")), 1, "{said}");
            assert_eq!(count("is append-only: truncate is refused"), 2, "{said}");
            assert_eq!(count("HINT:  corrections are new rows"), statements.len(), "{said}");
        }
        // An upsert and a merge are updates.
        let (done, said) = all_by_psql(
            &db,
            &[
                "insert into prompt_text (text_sha256, body) values (sha256('x'), 'other')
                 on conflict (text_sha256) do update set body = excluded.body"
                    .to_owned(),
                "with gone as (delete from llm_call returning *) select count(*) from gone".to_owned(),
            ],
        );
        assert_eq!((done.as_str(), said.matches("is append-only").count()), ("", 2), "{said}");
        assert_eq!(dump(&store).await, before);
    });
}

async fn refusal(connection: &mut SqliteConnection, sql: &str) -> String {
    let outcome = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    match outcome {
        Err(error) => error.to_string(),
        Ok(done) => panic!("{sql}: {} rows were changed", done.rows_affected()),
    }
}

#[test]
fn in_sqlite() {
    block_on(async {
        let db = TestDb::sqlite();
        let store = filled(&db).await;
        // Foreign keys would refuse some of it; another program need not switch them on.
        let options = SqliteConnectOptions::from_str(&db.url).unwrap().foreign_keys(false);
        let mut connection = options.connect().await.unwrap();
        let rows = ROWS.replace("NOW", "1763640000000000").replace("SHA", "zeroblob(32)");
        let rows = rows.replace("IDS", "zeroblob(16)");
        sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut connection).await.unwrap();
        let before = dump(&store).await;
        for (table, may_change) in TABLES {
            let columns: Vec<String> =
                sqlx::query_scalar("select name from pragma_table_xinfo($1) where hidden = 0")
                    .bind(table)
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
            let all = columns.join(", ");
            for column in columns.iter().filter(|c| !may_change.contains(&c.as_str())) {
                for update in ["update", "update or replace", "update or ignore"] {
                    let sql = format!("{update} {table} set {column} = {column}");
                    let said = refusal(&mut connection, &sql).await;
                    assert!(
                        said.contains(&format!("{table} is append-only: update is refused")),
                        "{sql}: {said}"
                    );
                }
            }
            let sql = format!("delete from {table}");
            let said = refusal(&mut connection, &sql).await;
            assert!(said.contains(&format!("{table} is append-only: delete is refused")), "{sql}: {said}");
            for insert in ["insert or replace", "replace", "insert or ignore", "insert"] {
                let sql = format!("{insert} into {table} ({all}) select {all} from {table}");
                let said = refusal(&mut connection, &sql).await;
                assert!(
                    said.contains(&format!("{table} is append-only: replacing a row is refused")),
                    "{sql}: {said}"
                );
            }
        }
        assert_eq!(dump(&store).await, before);
    });
}
