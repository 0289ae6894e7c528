//! Two databases, one meaning: the same tables and views, column by column.

use super::shape::{Column, Relation, lax_tables, of_postgres, of_sqlite};
use super::{filled, sqlite};
use crate::support::{TestDb, block_on};
use std::collections::BTreeMap;
use std::path::Path;

/// The types of SQLite that stand for one of Postgres. Views are for people: there times and ids are text.
fn stands_for(postgres: &str, in_view: bool) -> &'static [&'static str] {
    match postgres.split('(').next().unwrap() {
        "timestamp with time zone" if in_view => &["integer", "text"],
        "timestamp with time zone" | "bigint" | "integer" | "smallint" | "boolean" => &["integer"],
        "jsonb" | "text" | "numeric" => &["text"],
        "uuid" | "bytea" | "uuid[]" => &["blob"],
        other => panic!("which type of SQLite stands for `{other}`?"),
    }
}

fn by_name(relations: Vec<Relation>) -> BTreeMap<String, Relation> {
    relations.into_iter().map(|relation| (relation.name.clone(), relation)).collect()
}

fn names(columns: &[Column]) -> Vec<&str> {
    columns.iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn both_databases_have_the_same_tables_and_views() {
    block_on(async {
        let (postgres_db, sqlite_db) = (TestDb::postgres(), TestDb::sqlite());
        filled(&postgres_db).await;
        filled(&sqlite_db).await;
        let postgres = by_name(of_postgres(&postgres_db).await);
        let sqlite = by_name(of_sqlite(&sqlite_db).await);
        assert_eq!(postgres.keys().collect::<Vec<_>>(), sqlite.keys().collect::<Vec<_>>());
        assert!(postgres.len() >= 19, "{}", postgres.len());
        for (name, ours) in &postgres {
            let theirs = &sqlite[name];
            assert_eq!(ours.is_view, theirs.is_view, "{name}");
            assert_eq!(names(&ours.columns), names(&theirs.columns), "{name}");
            for (ours, theirs) in ours.columns.iter().zip(&theirs.columns) {
                let column = format!("{name}.{}", ours.name);
                let allowed = stands_for(&ours.sql_type, is_for_people(name));
                assert!(
                    allowed.contains(&theirs.sql_type.as_str()),
                    "{column}: {} and {}",
                    ours.sql_type,
                    theirs.sql_type
                );
                assert_eq!(ours.generated, theirs.generated, "{column}");
                if !sqlite[name].is_view {
                    assert_eq!(ours.nullable, theirs.nullable, "{column}");
                }
            }
        }
    });
}

fn is_for_people(name: &str) -> bool {
    name.starts_with("v_")
}

#[test]
fn every_sqlite_table_is_strict() {
    block_on(async {
        let db = TestDb::sqlite();
        filled(&db).await;
        assert_eq!(lax_tables(&mut sqlite(&db).await).await, [""; 0]);
    });
}

#[test]
fn migrations_are_pairs_that_say_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let files = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let names = files("postgres");
    assert_eq!(names, files("sqlite"));
    for (place, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", place + 1)), "{name}");
        assert_eq!(Path::new(name).extension().unwrap(), "sql");
        for folder in ["postgres", "sqlite"] {
            let text = std::fs::read_to_string(root.join(folder).join(name)).unwrap();
            let opening: String = text.lines().take_while(|line| line.starts_with("--")).collect();
            assert!(
                opening.len() > 50,
                "{folder}/{name} opens with what it does and why, not with `{opening}`"
            );
            assert!(!text.contains('\t') && text.ends_with('\n'), "{folder}/{name}");
        }
    }
}
