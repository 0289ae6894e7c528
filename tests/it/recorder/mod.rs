//! The recorder: a pipeline records through it, and whatever happens, every call is in the ledger once.

mod basics;
mod child;
mod example;
mod faults;
mod prompts;
mod proxy;
#[cfg(feature = "tower")]
mod tower;

use crate::support::TestDb;
use crate::writing::open;
use asmm::recorder::{Recorder, Settings};
use asmm::store::Store;

/// Settings for a ledger of the test's own, with a spool of its own.
pub fn settings(db: &TestDb) -> Settings {
    let mut settings = Settings::new(&db.url, &db.schema);
    settings.spool_home = Some(db.dir.path().join("spool"));
    settings
}

/// A migrated ledger, and a recorder for it.
pub async fn recorder(db: &TestDb) -> (Store, Recorder) {
    let store = open(db).await;
    (store, Recorder::connect(settings(db)))
}
