//! `asmm top`: what happens now, on the whole terminal.
//!
//! [`look`] asks the ledger, [`state`] is what is shown and what keys do to it, [`draw`] turns that into cells and nothing else,
//! [`screen`] owns the terminal and gives it back.

mod chart;
mod draw;
mod keys;
mod look;
mod screen;
mod state;
mod tables;
#[cfg(test)]
mod tests;

use super::context::{Ctx, Exit};
use crate::error::{Error, Result};
use crate::store::{Filter, RunOrder};
use clap::{Args, ValueEnum};
use look::{Asking, Question};
use screen::Screen;
use state::{Action, State};
use std::io::{self, IsTerminal};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// Watch spend live: the runs that run, the rate, the last hour
///
/// A full screen, asked for anew every --interval. Keys: q, Esc or Ctrl-C ends it, s sorts the runs by something else, the arrows scroll,
/// p pauses, r asks at once, ? shows all keys. A look reads a bounded part of the ledger, however large that is.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// How often the ledger is asked: 500ms, 2s, 1m
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_interval)]
    interval: Duration,
    /// What makes a run the first
    #[arg(long, value_enum, value_name = "BY", default_value_t = Order::Cost)]
    order: Order,
    /// Only this pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: Option<String>,
    /// Only this agent
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    agent: Option<String>,
    /// Only this provider, as reported
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    provider: Option<String>,
    /// Only this model, as reported
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    model: Option<String>,
    /// The time zone of the times, and of today: an IANA name [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
}

/// What makes a run the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// The most expensive
    Cost,
    /// The newest
    Started,
    /// The most calls
    Calls,
    /// The most tokens
    Tokens,
}

impl Order {
    /// The one that the key `s` leads to.
    const fn next(self) -> Self {
        match self {
            Self::Cost => Self::Started,
            Self::Started => Self::Calls,
            Self::Calls => Self::Tokens,
            Self::Tokens => Self::Cost,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Started => "started",
            Self::Calls => "calls",
            Self::Tokens => "tokens",
        }
    }
}

impl From<Order> for RunOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Cost => Self::Cost,
            Order::Started => Self::Started,
            Order::Calls => Self::Calls,
            Order::Tokens => Self::Tokens,
        }
    }
}

pub(super) async fn run(ctx: &Ctx, args: TopArgs) -> Result<Exit> {
    for (name, is_terminal) in [("input", io::stdin().is_terminal()), ("output", io::stdout().is_terminal())]
    {
        if !is_terminal {
            return Err(Error::usage(format!("standard {name} is no terminal, and `asmm top` needs one"))
                .hint("for a script or a file: `asmm runs top`, `asmm spend daily --days 1`"));
        }
    }
    let zone = ctx.zone(args.tz.as_deref())?;
    let filter = Filter {
        pipeline: args.pipeline,
        agent: args.agent,
        provider: args.provider,
        model: args.model,
        status: None,
    };
    // What is wrong from the start is an error like any other command's.
    let store = ctx.store().await?;
    let style = ctx.style();
    // The library below looks for NO_COLOR as well, over which `--color always` wins.
    ratatui::crossterm::style::force_color_output(style.color);
    let mut state = State::new(store.shown(), zone, style, args.interval, args.order, &filter);
    let question = Question { location: ctx.location.clone(), clock: ctx.clock, zone: zone.0, filter };
    let mut screen = Screen::open()?;
    let outcome = watch(&mut screen, &mut state, &question, question.ask(Some(store), args.order)).await;
    drop(screen);
    outcome.map(|()| Exit::Fine)
}

/// Shows, and asks, until it is told to end.
async fn watch(screen: &mut Screen, state: &mut State, question: &Question, first: Asking) -> Result<()> {
    let unwatched = |error| Error::io("signals cannot be waited for", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(unwatched)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
    let mut keys = keys::listen()?;
    let mut ticks = interval(state.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asking = Some(first);
    // The ledger, while nobody asks it.
    let mut idle = None;
    let mut is_due = false;
    loop {
        if is_due && asking.is_none() {
            asking = Some(question.ask(idle.take(), state.order));
            is_due = false;
        }
        screen.draw(state)?;
        let answer = async {
            match asking.as_mut() {
                Some(asking) => asking.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            key = keys.recv() => match key.map_or(Action::End, |key| state.press(key)) {
                Action::Nothing => {}
                Action::Ask => is_due = true,
                Action::Redraw => screen.clear()?,
                Action::End => return Ok(()),
            },
            (store, outcome) = answer => {
                asking = None;
                idle = store;
                state.take(outcome);
            }
            _ = ticks.tick() => is_due |= !state.is_paused,
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// `2s`, `500ms`, `1m`, or seconds without a unit.
fn parse_interval(text: &str) -> Result<Duration, String> {
    const WRONG: &str = "write a time from 100ms to 1h, such as 500ms, 2s or 1m";
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| WRONG)?;
    let millis = match unit {
        "ms" => Some(number),
        "s" | "" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    let millis = millis.filter(|millis| (100..=3_600_000).contains(millis)).ok_or(WRONG)?;
    Ok(Duration::from_millis(millis))
}
