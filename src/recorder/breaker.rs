//! When to try the ledger again after it failed: later each time, and not all recorders at once.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(15);

/// A circuit breaker: closed while the ledger works, else open until the next attempt is due.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    next: Option<Instant>,
}

impl Breaker {
    /// Whether the ledger worked when it was last asked.
    pub fn is_closed(&self) -> bool {
        self.failures == 0
    }

    /// Whether it may be asked now.
    pub fn may_try(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// When it may be asked again; none if at once.
    pub fn next_attempt(&self) -> Option<Instant> {
        self.next
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Doubles the wait, of which `chance` (0 to 255) takes away up to a half.
    pub fn failed(&mut self, now: Instant, chance: u8) {
        let doubled = FIRST.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
        let wait = doubled.min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + wait.saturating_sub(wait / 2 * u32::from(chance) / 255));
    }
}

/// A chance from 0 to 255. Where the system gives none, all recorders wait the longest.
pub(super) fn chance() -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).map_or(0, |()| byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_longer_each_time_up_to_a_limit() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert!(breaker.is_closed() && breaker.may_try(now));
        let mut waits = Vec::new();
        for _ in 0..12 {
            breaker.failed(now, 0);
            waits.push((breaker.next_attempt().unwrap() - now).as_millis());
        }
        assert_eq!(waits[..9], [100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000]);
        assert_eq!(waits[11], 15000);
        assert!(!breaker.is_closed() && !breaker.may_try(now) && breaker.may_try(now + LONGEST));
        breaker.failed(now, 255);
        assert_eq!(breaker.next_attempt().unwrap() - now, LONGEST / 2);
        breaker.succeeded();
        assert!(breaker.is_closed() && breaker.may_try(now));
    }
}
