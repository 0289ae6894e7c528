//! Which tokens took the place of which values: the same value has the same one in the whole run, whichever handle it is
//! rendered through.

use super::prompts::Request;
use crate::domain::{Digest, RunId};
use crate::error::Result;
use crate::guard::{Guard, Tokens};
use crate::store::Store;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// The runs whose tokens are kept at hand; a handle keeps those of its own run for as long as it lives.
const RUNS: usize = 1024;

/// The tokens of a run.
pub(super) type RunTokens = Arc<Mutex<Tokens>>;

/// The tokens of the runs that were last used here.
#[derive(Default)]
pub(super) struct TokenBook {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_run: HashMap<RunId, RunTokens>,
    oldest_first: VecDeque<RunId>,
}

/// A request to the flusher: what the ledger knows of a run's tokens.
pub(super) struct FetchTokens {
    run_id: RunId,
    answer: mpsc::SyncSender<Result<Vec<(String, Digest)>>>,
}

impl TokenBook {
    /// The tokens of a run. If they are not at hand, `ask` says which ones the run has given already elsewhere.
    pub fn of(&self, run_id: RunId, guard: &Guard, ask: impl FnOnce() -> Vec<(String, Digest)>) -> RunTokens {
        if let Some(tokens) = self.lock().by_run.get(&run_id) {
            return Arc::clone(tokens);
        }
        let mut tokens = guard.tokens();
        for (token, fingerprint) in ask() {
            tokens.recall(&token, fingerprint);
        }
        let mut known = self.lock();
        // Somebody else may have been faster, and have given some by now.
        if let Some(tokens) = known.by_run.get(&run_id) {
            return Arc::clone(tokens);
        }
        if known.oldest_first.len() >= RUNS
            && let Some(oldest) = known.oldest_first.pop_front()
        {
            known.by_run.remove(&oldest);
        }
        let tokens = Arc::new(Mutex::new(tokens));
        known.oldest_first.push_back(run_id);
        known.by_run.insert(run_id, Arc::clone(&tokens));
        tokens
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ledger knows of a run's tokens; nothing if it does not say so in time.
pub(super) fn ask(
    requests: &tokio::sync::mpsc::Sender<Request>,
    run_id: RunId,
    patience: Duration,
) -> Vec<(String, Digest)> {
    let (answer, answered) = mpsc::sync_channel(1);
    if requests.try_send(Request::Tokens(FetchTokens { run_id, answer })).is_err() {
        return Vec::new();
    }
    match answered.recv_timeout(patience) {
        Ok(Ok(tokens)) => tokens,
        // The values are redacted all the same; only their numbers may be given twice.
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

impl FetchTokens {
    /// Asks the ledger.
    pub async fn run(self, store: Store) {
        // Whoever asked may have given up.
        let _ = self.answer.try_send(store.guard_tokens(self.run_id).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Fingerprinter, Policy};
    use uuid::Uuid;

    #[test]
    fn a_run_has_one_set_of_tokens_and_the_ledger_is_asked_once() {
        let guard = Guard::new(Policy::default(), Fingerprinter::new([7; 32]));
        let book = TokenBook::default();
        let run = |number: usize| RunId(Uuid::from_u128(number as u128));
        let known = Digest([1; 32]);
        let first = book.of(run(1), &guard, || vec![("EMAIL_3".to_owned(), known)]);
        assert_eq!(first.lock().unwrap().len(), 1);
        let again = book.of(run(1), &guard, || panic!("it is known"));
        assert!(Arc::ptr_eq(&first, &again));
        for number in 2..RUNS + 2 {
            book.of(run(number), &guard, Vec::new);
        }
        assert_eq!(book.lock().by_run.len(), RUNS);
        assert!(!Arc::ptr_eq(&first, &book.of(run(1), &guard, Vec::new)), "it was the oldest");
    }
}
