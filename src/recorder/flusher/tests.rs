//! What the thread does at one moment, without a ledger.

use super::*;
use crate::domain::{Event, FinishRun, RunId, Status};
use crate::recorder::settings::Settings;

/// A recorder whose ledger is away, and that has written one event to disk. In a runtime: it syncs there.
fn written() -> (tempfile::TempDir, Flusher) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new("postgres://127.0.0.1:9/ledger", "asmm");
    settings.spool_home = Some(folder.path().to_owned());
    settings.level = Level::Durable;
    let shared = Arc::new(Shared::new(settings));
    let mut flusher = Flusher::new(Arc::clone(&shared), mpsc::channel(1).1);
    let finish = FinishRun { run_id: RunId(uuid::Uuid::nil()), status: Status::Failed, completed_at: None };
    shared.queue.push(Event::Finish(finish), true, &shared.counters);
    flusher.step(Instant::now());
    assert_eq!(flusher.in_spool(), 1);
    (folder, flusher)
}

#[tokio::test]
async fn what_comes_faster_than_the_ledger_takes_it_goes_to_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new("postgres://127.0.0.1:9/ledger", "asmm");
    settings.spool_home = Some(folder.path().to_owned());
    (settings.queue_events, settings.batch_events, settings.batch_age) = (40, 10, Duration::ZERO);
    let shared = Arc::new(Shared::new(settings));
    let mut flusher = Flusher::new(Arc::clone(&shared), mpsc::channel(1).1);
    let push = |count| {
        for _ in 0..count {
            let finish =
                FinishRun { run_id: RunId(uuid::Uuid::nil()), status: Status::Failed, completed_at: None };
            shared.queue.push(Event::Finish(finish), false, &shared.counters);
        }
    };
    push(12);
    flusher.step(Instant::now());
    assert_eq!((flusher.held.len(), flusher.in_spool()), (2, 0));
    push(11);
    // A batch has come back, the next one has not left.
    flusher.flight = None;
    flusher.step(Instant::now());
    assert_eq!((flusher.held.len(), flusher.in_spool()), (0, 13));
}

#[tokio::test]
async fn what_is_synced_is_safe() {
    let (_folder, mut flusher) = written();
    let synced = synced(&mut flusher.sync).await;
    flusher.note_sync(synced);
    assert_eq!(flusher.shared.safe(), 1);
}

#[tokio::test]
async fn what_could_not_be_synced_is_safe_when_it_is_delivered() {
    let (_folder, mut flusher) = written();
    synced(&mut flusher.sync).await.unwrap().unwrap();
    flusher.note_sync(Ok(Err(std::io::Error::other("the disk has gone"))));
    // Neither by itself, nor because a later sync succeeds.
    flusher.step(Instant::now());
    assert_eq!(flusher.shared.safe(), 0);
    flusher.sync = Some((tokio::task::spawn_blocking(|| Ok(())), 1));
    let synced = synced(&mut flusher.sync).await;
    flusher.note_sync(synced);
    flusher.step(Instant::now());
    assert_eq!(flusher.shared.safe(), 0);
    let own = flusher.own.as_mut().unwrap();
    own.delivered(own.end(), 1).unwrap();
    flusher.step(Instant::now());
    assert_eq!(flusher.shared.safe(), 1);
}
