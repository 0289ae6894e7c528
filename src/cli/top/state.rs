//! What is shown, and what keys do to it.

use super::Order;
use super::keys::Key;
use super::look::Snapshot;
use crate::error::Result;
use crate::guard::mask_secrets;
use crate::report::Style;
use crate::store::Filter;
use chrono_tz::Tz;
use std::time::Duration;

/// How far the keys of a page scroll.
const PAGE: usize = 10;

/// What is shown.
pub(super) struct State {
    pub ledger: String,
    /// The zone, and where it was set.
    pub zone: (Tz, &'static str),
    pub style: Style,
    pub interval: Duration,
    /// What is looked at, in words; empty for all.
    pub filter: String,
    pub order: Order,
    /// The newest answer.
    pub snapshot: Option<Snapshot>,
    /// Why there is no newer one.
    pub trouble: Option<String>,
    pub is_paused: bool,
    pub shows_help: bool,
    /// How many runs are scrolled past.
    pub scrolled: usize,
}

/// What a key asks for beyond a change of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// A newer answer, at once.
    Ask,
    /// Every cell anew: another program may have written over them.
    Redraw,
    End,
}

impl State {
    pub(super) fn new(
        ledger: &str,
        zone: (Tz, &'static str),
        style: Style,
        interval: Duration,
        order: Order,
        filter: &Filter,
    ) -> Self {
        Self {
            ledger: ledger.to_owned(),
            zone,
            style,
            interval,
            filter: words(filter),
            order,
            snapshot: None,
            trouble: None,
            is_paused: false,
            shows_help: false,
            scrolled: 0,
        }
    }

    /// Takes an answer. A failure leaves the last good one on the screen, with its time and what is wrong.
    pub(super) fn take(&mut self, outcome: Result<Snapshot>) {
        match outcome {
            Ok(snapshot) => {
                self.trouble = None;
                self.scrolled = self.scrolled.min(snapshot.runs.runs.len().saturating_sub(1));
                self.snapshot = Some(snapshot);
            }
            Err(error) => self.trouble = Some(mask_secrets(&error.to_string())),
        }
    }

    pub(super) fn press(&mut self, key: Key) -> Action {
        if self.shows_help && !matches!(key, Key::End | Key::Redraw | Key::Resized) {
            self.shows_help = false;
            return Action::Nothing;
        }
        let last = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.runs.runs.len()).saturating_sub(1);
        match key {
            Key::End => return Action::End,
            Key::Redraw => return Action::Redraw,
            Key::Ask => return Action::Ask,
            Key::Sort => {
                self.order = self.order.next();
                self.scrolled = 0;
                return Action::Ask;
            }
            Key::Pause => {
                self.is_paused = !self.is_paused;
                return if self.is_paused { Action::Nothing } else { Action::Ask };
            }
            Key::Help => self.shows_help = true,
            Key::Up => self.scrolled = self.scrolled.saturating_sub(1),
            Key::Down => self.scrolled = (self.scrolled + 1).min(last),
            Key::PageUp => self.scrolled = self.scrolled.saturating_sub(PAGE),
            Key::PageDown => self.scrolled = (self.scrolled + PAGE).min(last),
            Key::First => self.scrolled = 0,
            Key::Last => self.scrolled = last,
            Key::Resized | Key::Other => {}
        }
        Action::Nothing
    }
}

fn words(filter: &Filter) -> String {
    let parts = [
        ("pipeline", &filter.pipeline),
        ("agent", &filter.agent),
        ("provider", &filter.provider),
        ("model", &filter.model),
    ];
    let parts = parts.iter().filter_map(|(word, name)| Some(format!("{word} {}", name.as_ref()?)));
    parts.collect::<Vec<_>>().join(", ")
}
