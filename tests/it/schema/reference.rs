//! `migrations/README.md`: its reference is what is in the databases, and its queries run.

use super::shape::{Function, ROLES, Relation, functions, grants, of_postgres, of_sqlite, rules};
use super::{filled, postgres, sqlite};
use crate::support::{TestDb, block_on};
use sqlx::AssertSqlSafe;
use std::fmt::Write;
use std::path::PathBuf;

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations/README.md")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Types as the migrations write them.
fn short_type(name: &str) -> String {
    name.replace("timestamp with time zone", "timestamptz")
}

fn relation_section(ours: &Relation, theirs: &Relation, rules: &[String], grants: &[String]) -> String {
    let kind = if ours.is_view { "view" } else { "table" };
    assert!(!ours.comment.is_empty(), "{} has no comment", ours.name);
    let mut text = format!("### `{}` ({kind})\n\n{}\n\n", ours.name, ours.comment);
    text += if ours.is_view {
        "| column | Postgres | SQLite | meaning |\n|---|---|---|---|\n"
    } else {
        "| column | Postgres | SQLite | null? | meaning |\n|---|---|---|---|---|\n"
    };
    for (ours_column, theirs_column) in ours.columns.iter().zip(&theirs.columns) {
        let column = &ours_column.name;
        assert!(!ours_column.comment.is_empty(), "{}.{column} has no comment", ours.name);
        let generated = if ours_column.generated { " Kept by the database." } else { "" };
        let null = match (ours.is_view, ours_column.nullable) {
            (true, _) => "",
            (false, true) => " yes |",
            (false, false) => " no |",
        };
        writeln!(
            text,
            "| `{column}` | {} | {} |{null} {}{generated} |",
            short_type(&ours_column.sql_type),
            theirs_column.sql_type,
            cell(&ours_column.comment)
        )
        .unwrap();
    }
    text.push('\n');
    for rule in rules {
        writeln!(text, "- {rule}").unwrap();
    }
    writeln!(
        text,
        "- granted: {}\n",
        if grants.is_empty() { "nothing".to_owned() } else { grants.join("; ") }
    )
    .unwrap();
    text
}

fn function_section(function: &Function) -> String {
    let arguments = short_type(&function.arguments).replace(", ", ",\n  ");
    format!(
        "### `{}`\n\n{}\n\n```text\n{}(\n  {arguments})\nreturns {}\n```\n\n- granted: execute to {}\n\n",
        function.name,
        function.comment,
        function.name,
        short_type(&function.result),
        function.executable_by.join(", ")
    )
}

async fn generated(postgres_db: &TestDb, sqlite_db: &TestDb) -> String {
    let ours = of_postgres(postgres_db).await;
    let theirs = of_sqlite(sqlite_db).await;
    let mut connection = postgres(postgres_db).await;
    let mut text = String::from("\n## Tables and views\n\n");
    for relation in &ours {
        let other = theirs.iter().find(|other| other.name == relation.name).unwrap();
        let granted = grants(&mut connection, &relation.name).await;
        let granted: Vec<String> = ROLES
            .iter()
            .filter_map(|role| {
                let privileges: Vec<_> =
                    granted.iter().filter(|(r, _)| r == role).map(|(_, p)| p.as_str()).collect();
                (!privileges.is_empty()).then(|| format!("{} to {role}", privileges.join(", ")))
            })
            .collect();
        text += &relation_section(relation, other, &rules(postgres_db, &relation.name).await, &granted);
    }
    text += "## Functions (Postgres)\n\nWhat SQLite does in the program, Postgres does in these.\n\n";
    let functions = functions(postgres_db).await;
    for function in &functions {
        assert!(!function.comment.is_empty(), "{} has no comment", function.name);
    }
    for function in functions.iter().filter(|f| f.is_definer) {
        text += &function_section(function);
    }
    text += "### Parts of the above\n\nThey run with the rights of their caller and answer nobody else.\n\n";
    text += "| function | meaning |\n|---|---|\n";
    for function in functions.iter().filter(|f| !f.is_definer) {
        writeln!(text, "| `{}` | {} |", function.name, cell(&function.comment)).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn the_reference_is_what_the_databases_hold() {
    block_on(async {
        let (postgres_db, sqlite_db) = (TestDb::postgres(), TestDb::sqlite());
        filled(&postgres_db).await;
        filled(&sqlite_db).await;
        let generated =
            generated(&postgres_db, &sqlite_db).await.replace(&format!("{}.", postgres_db.schema), "");
        let stored = std::fs::read_to_string(path()).unwrap();
        let (before, rest) = stored.split_once(BEGIN).expect("the file marks where the reference begins");
        let (_, after) = rest.split_once(END).expect("the file marks where the reference ends");
        let wanted = format!("{before}{BEGIN}{generated}{END}{after}");
        if wanted == stored {
            return;
        }
        if std::env::var_os("ASMM_UPDATE_DOCS").is_some() {
            std::fs::write(path(), wanted).unwrap();
            return;
        }
        let differing = wanted.lines().zip(stored.lines()).find(|(a, b)| a != b);
        panic!(
            "migrations/README.md is not what the migrations make; ASMM_UPDATE_DOCS=1 tests/run --test it reference \
             rewrites it. First difference (made, stored): {differing:#?}"
        );
    });
}

/// Every ```` ```sql ```` block of the file says in its first line which databases it is for.
#[test]
fn the_example_queries_run() {
    block_on(async {
        let text = std::fs::read_to_string(path()).unwrap();
        let blocks: Vec<&str> =
            text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        let (postgres_db, sqlite_db) = (TestDb::postgres(), TestDb::sqlite());
        filled(&postgres_db).await;
        filled(&sqlite_db).await;
        let (mut on_postgres, mut on_sqlite) = (0, 0);
        for block in blocks {
            let heading = block.lines().next().unwrap();
            assert!(
                heading.contains("Postgres") || heading.contains("SQLite"),
                "which database is this for? {block}"
            );
            if heading.contains("Postgres") {
                let mut connection = postgres(&postgres_db).await;
                let rows = sqlx::raw_sql(AssertSqlSafe(block.to_owned())).fetch_all(&mut connection).await;
                assert!(!rows.unwrap_or_else(|e| panic!("{e}\n{block}")).is_empty(), "no rows\n{block}");
                on_postgres += 1;
            }
            if heading.contains("SQLite") {
                let mut connection = sqlite(&sqlite_db).await;
                let rows = sqlx::raw_sql(AssertSqlSafe(block.to_owned())).fetch_all(&mut connection).await;
                assert!(!rows.unwrap_or_else(|e| panic!("{e}\n{block}")).is_empty(), "no rows\n{block}");
                on_sqlite += 1;
            }
        }
        assert!(on_postgres >= 4 && on_sqlite >= 3, "{on_postgres} and {on_sqlite}");
    });
}
