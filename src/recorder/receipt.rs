//! The proof that an event is safe.

use super::shared::Shared;
use crate::domain::CallId;
use crate::error::{Error, Result};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

/// What recording a call answers: its id, and, awaited, that it is safe.
///
/// Awaiting it is optional, and dropping it changes nothing. On [`super::Level::Durable`] it is done as soon as the call is
/// synced to disk, which takes as long as the disk does; on [`super::Level::Buffered`] when it is in the ledger, or on disk
/// because the ledger has not answered for a second. While neither ledger nor disk takes anything it waits: put a
/// timeout around it where that matters.
///
/// # Errors
/// When the call is lost: there was no room for it, or the recorder ended before it was safe.
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// let run = recorder.run("enrichment").start();
/// let receipt = run.call("openai", "gpt-4o").record();
/// println!("call {}", receipt.call_id());
/// receipt.await?;
/// # Ok(())
/// # }
/// ```
pub struct Receipt {
    pub(super) call_id: CallId,
    /// The event's number in the queue; none if there was no room.
    pub(super) number: Option<u64>,
    pub(super) shared: Arc<Shared>,
}

impl Receipt {
    /// The call's id.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        self.call_id
    }

    async fn safe(self) -> Result<()> {
        let lost = || {
            Error::database(format!(
                "call `{}` is lost: neither memory nor disk nor ledger took it",
                self.call_id
            ))
            .hint("make room on the disk, and bring the ledger back")
        };
        let number = self.number.ok_or_else(lost)?;
        let mut progress = self.shared.progress();
        if progress.borrow().safe < number {
            self.shared.queue.hurry();
        }
        let reached = progress.wait_for(|progress| progress.safe >= number || progress.ended).await;
        match reached {
            Ok(progress) if progress.safe >= number => Ok(()),
            _ => Err(lost()),
        }
    }
}

impl IntoFuture for Receipt {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.safe())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("call_id", &self.call_id).finish_non_exhaustive()
    }
}
