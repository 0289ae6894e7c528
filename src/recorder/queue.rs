//! Between the pipeline, which must not wait, and the thread that delivers.

use super::metrics::{Counters, add};
use crate::domain::Event;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The events that wait in memory: bounded in number and in bytes.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Rings when there is something to do.
    pub bell: Notify,
    max_events: usize,
    max_bytes: usize,
    /// Rings at this many events, without waiting for the time.
    batch: usize,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<Item>,
    bytes: usize,
    /// Events ever taken in; also the number of the last one.
    accepted: u64,
    is_urgent: bool,
    /// Whether a quarter of the room was used up when the last one came.
    was_high: bool,
    is_closed: bool,
}

/// An event on its way. In a box, so that moving it costs nothing.
pub(super) type Item = Box<Event>;

/// What is taken out of the queue at once.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub items: Vec<Item>,
    /// The number of the last event.
    pub last: u64,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub events: usize,
    /// Whether a quarter of the room is used up.
    pub is_high: bool,
    pub is_urgent: bool,
    pub is_closed: bool,
}

impl Queue {
    pub fn new(max_events: usize, max_bytes: usize, batch: usize) -> Self {
        let items = Vec::with_capacity(max_events.min(1 << 16));
        let state = Mutex::new(State { items, ..State::default() });
        Self { state, bell: Notify::new(), max_events, max_bytes, batch }
    }

    /// Takes an event in and answers its number, or drops and counts it when there is no room.
    pub fn push(&self, event: Event, is_urgent: bool, counters: &Counters) -> Option<u64> {
        let bytes = size_of_event(&event);
        let item = Box::new(event);
        let mut state = self.lock();
        if state.is_closed || state.items.len() >= self.max_events || state.bytes + bytes > self.max_bytes {
            drop(state);
            add(&counters.dropped, 1);
            return None;
        }
        state.items.push(item);
        state.bytes += bytes;
        state.accepted += 1;
        let (number, count) = (state.accepted, state.items.len());
        let is_high = self.is_high(&state);
        let becomes_high = is_high && !state.was_high;
        let rings = count == 1 || count == self.batch || becomes_high || (is_urgent && !state.is_urgent);
        state.was_high = is_high;
        state.is_urgent |= is_urgent;
        drop(state);
        if rings {
            self.bell.notify_one();
        }
        Some(number)
    }

    /// Takes everything out; `spare` is an empty vector to fill next.
    pub fn take(&self, spare: Vec<Item>) -> Taken {
        let mut state = self.lock();
        state.bytes = 0;
        state.is_urgent = false;
        state.was_high = false;
        let items = std::mem::replace(&mut state.items, spare);
        Taken { items, last: state.accepted }
    }

    pub fn level(&self) -> Level {
        let state = self.lock();
        Level {
            events: state.items.len(),
            is_high: self.is_high(&state),
            is_urgent: state.is_urgent,
            is_closed: state.is_closed,
        }
    }

    /// Asks for what is here to be made safe at once; answers the number of the last event.
    pub fn hurry(&self) -> u64 {
        let mut state = self.lock();
        state.is_urgent = true;
        let last = state.accepted;
        drop(state);
        self.bell.notify_one();
        last
    }

    /// Takes nothing in any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.bell.notify_one();
    }

    pub fn accepted(&self) -> u64 {
        self.lock().accepted
    }

    fn is_high(&self, state: &State) -> bool {
        state.items.len() > self.max_events / 4 || state.bytes > self.max_bytes / 4
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how many bytes of memory an event holds.
fn size_of_event(event: &Event) -> usize {
    let rest = match event {
        Event::Call(call) => {
            let texts = call.agent.len() + call.provider.len() + call.model.len() + call.operation.len();
            texts + call.service_tier.len() + call.prompt.as_ref().map_or(0, |sent| size_of_prompt(sent))
        }
        Event::Prompt(sent) => size_of_prompt(&sent.prompt),
        Event::Run(run) => run.labels.iter().map(|(name, text)| name.len() + text.len() + 100).sum(),
        Event::Step(step) => step.step.len() + step.agent.len(),
        Event::Guard(event) => event.reason.len(),
        Event::Span(span) => size_of_val(span.as_ref()) + 500 + size_of_texts(event),
        Event::Finish(_) | Event::FinishStep(_) => 0,
    };
    size_of::<Event>() + rest
}

/// About how many bytes of memory the texts of what was sent and answered take.
pub(crate) fn size_of_texts(event: &Event) -> usize {
    let prompt = match event {
        Event::Call(call) => call.prompt.as_deref(),
        Event::Prompt(sent) => Some(&sent.prompt),
        Event::Span(span) => span.report.as_ref().and_then(|report| report.prompt.as_deref()),
        _ => None,
    };
    prompt.map_or(0, size_of_prompt)
}

fn size_of_prompt(prompt: &crate::domain::CallPrompt) -> usize {
    let inputs = prompt.inputs.iter().flatten().map(|(name, value)| name.len() + 64 + size_of_value(value));
    let messages = prompt.messages.iter().chain(&prompt.output).flatten().map(size_of_value);
    inputs.sum::<usize>() + messages.sum::<usize>() + size_of::<crate::domain::CallPrompt>()
}

fn size_of_value(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size_of_value).sum(),
            Value::Object(map) => {
                map.iter().map(|(name, value)| name.len() + 64 + size_of_value(value)).sum()
            }
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FinishRun, RunId, Status};
    use futures_util::FutureExt;
    use uuid::Uuid;

    fn event() -> Event {
        Event::Finish(FinishRun { run_id: RunId(Uuid::nil()), status: Status::Failed, completed_at: None })
    }

    #[test]
    fn it_takes_as_many_as_it_may_and_counts_the_rest() {
        let counters = Counters::default();
        let queue = Queue::new(3, 1 << 20, 2);
        let numbers: Vec<_> = (0..5).map(|_| queue.push(event(), false, &counters)).collect();
        assert_eq!(numbers, [Some(1), Some(2), Some(3), None, None]);
        let taken = queue.take(Vec::new());
        assert_eq!((taken.items.len(), taken.last), (3, 3));
        assert_eq!(queue.push(event(), false, &counters), Some(4));
        queue.close();
        assert_eq!(queue.push(event(), false, &counters), None);
        assert_eq!(counters.read(0, 0).dropped, 3);
    }

    #[test]
    fn it_rings_when_there_is_something_to_do() {
        let counters = Counters::default();
        let queue = Queue::new(40, 1 << 20, 5);
        let rings: Vec<usize> = (1..=40)
            .filter(|_| {
                queue.push(event(), false, &counters);
                queue.bell.notified().now_or_never().is_some()
            })
            .collect();
        assert_eq!(rings, [1, 5, 11]);
        queue.take(Vec::new());
        queue.push(event(), true, &counters);
        assert!(queue.bell.notified().now_or_never().is_some());
    }

    #[test]
    fn it_is_bounded_in_bytes_as_well() {
        let counters = Counters::default();
        let queue = Queue::new(100, 3 * size_of::<Event>(), 50);
        let taken = (0..5).filter(|_| queue.push(event(), false, &counters).is_some()).count();
        assert_eq!(taken, 3);
    }
}
