//! The ground under the other tests: the program starts, both databases can be had.

use crate::support::{Sandbox, on_both_databases, psql};

#[test]
fn the_program_runs() {
    let output = Sandbox::new().run(&["--version"]);
    assert_eq!(output.code, 0, "{}", output.snapshot());
    assert!(output.stdout.starts_with("asmm "), "{}", output.snapshot());
}

#[test]
fn the_postgres_server_answers() {
    insta::assert_snapshot!(psql("select 1", "public").snapshot(), @r"
    exit: 0
    --- stdout ---
    1
    --- stderr ---
    ");
}

on_both_databases! {
    async fn a_database_has_a_place_of_its_own(db: TestDb) {
        assert!(db.dir.path().is_dir());
        assert!(db.url.starts_with("sqlite:") || db.url.starts_with("postgres"), "{}", db.url);
        tokio::task::yield_now().await;
    }
}
