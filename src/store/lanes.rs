//! Which connection each event goes over: a run's all over one, so that they stay in order.

use crate::domain::{Event, RunId};
use std::collections::HashMap;

/// The lane of each event, below `lanes`. Each gets about as much as the others, as the slowest one is waited for. A
/// run that replays another goes with it: it cannot start before that one.
pub(super) fn lanes_of(events: &[&Event], lanes: usize) -> Vec<usize> {
    let mut goes_with: HashMap<RunId, RunId> = HashMap::new();
    for run in events.iter().filter_map(|event| event.as_run()) {
        if let Some(replayed) = run.replay_of {
            let first = goes_with.get(&replayed).copied().unwrap_or(replayed);
            goes_with.insert(run.run_id, first);
        }
    }
    let run_of = |event: &Event| {
        let run_id = run_of(event)?;
        Some(goes_with.get(&run_id).copied().unwrap_or(run_id))
    };
    let runs: Vec<Option<RunId>> = events.iter().map(|event| run_of(event)).collect();
    let mut sizes: HashMap<Option<RunId>, usize> = HashMap::new();
    for run in &runs {
        *sizes.entry(*run).or_default() += 1;
    }
    let mut largest_first: Vec<_> = sizes.into_iter().collect();
    largest_first.sort_by_key(|(run, size)| (std::cmp::Reverse(*size), *run));
    let mut loads = vec![0; lanes.max(1)];
    let mut lane_of_run = HashMap::with_capacity(largest_first.len());
    for (run, size) in largest_first {
        let lane = (0..loads.len()).min_by_key(|lane| loads[*lane]).unwrap_or_default();
        loads[lane] += size;
        lane_of_run.insert(run, lane);
    }
    runs.iter().map(|run| lane_of_run.get(run).copied().unwrap_or_default()).collect()
}

fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::Run(run) => Some(run.run_id),
        Event::Step(step) => Some(step.run_id),
        Event::Call(call) => Some(call.run_id),
        Event::Prompt(sent) => Some(sent.run_id),
        Event::Finish(finish) => Some(finish.run_id),
        Event::FinishStep(finish) => Some(finish.run_id),
        Event::Guard(event) => event.run_id,
        Event::Span(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{StartRun, Timestamp};

    fn id(number: u8) -> RunId {
        RunId::derived(&[&number.to_string()])
    }

    fn run(number: u8, replay_of: Option<u8>) -> Event {
        Event::Run(StartRun {
            run_id: id(number),
            pipeline: "p".to_owned(),
            started_at: Timestamp::from_micros(0),
            labels: [].into(),
            parent_run_id: None,
            replay_of: replay_of.map(id),
        })
    }

    #[test]
    fn a_run_goes_over_one_connection_and_the_lanes_are_even() {
        let events = [run(1, None), run(2, None), run(1, None), run(3, None), run(4, None), run(1, None)];
        let lanes = lanes_of(&events.iter().collect::<Vec<_>>(), 2);
        assert_eq!((lanes[0], lanes[0]), (lanes[2], lanes[5]));
        assert_eq!(lanes.iter().filter(|lane| **lane == lanes[0]).count(), 3);
    }

    #[test]
    fn a_replay_goes_with_the_run_that_it_replays() {
        let events = [run(1, None), run(2, None), run(3, Some(1)), run(4, Some(3)), run(5, Some(99))];
        let lanes = lanes_of(&events.iter().collect::<Vec<_>>(), 3);
        assert_eq!((lanes[2], lanes[3]), (lanes[0], lanes[0]));
    }
}
