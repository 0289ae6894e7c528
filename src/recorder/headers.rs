//! Which run and step a request belongs to, in its headers.
//!
//! `baggage` (<https://www.w3.org/TR/baggage/>) carries `asmm-run-id` and `asmm-step-id`. A request without a
//! `traceparent` (<https://www.w3.org/TR/trace-context/>) gets one whose trace id is the run's id, so that a proxy that
//! keeps only that one keeps the run.

use crate::domain::{RunId, StepId, Timestamp};
use std::collections::HashMap;
use std::hash::BuildHasher;
use uuid::Uuid;

const RUN: &str = "asmm-run-id";
const STEP: &str = "asmm-step-id";
/// What W3C lets a `baggage` header have at most.
const MAX_BAGGAGE_BYTES: usize = 8192;
/// A trace id that is a UUID of version 7 of this time is a run's id: of random ids one in ten million looks like it.
const RUN_AGE_SECONDS: u64 = 30 * 86_400;

/// The headers of a request, as [`super::Context::inject`] writes and [`super::Recorder::extract`] reads them. Names are
/// given in lower case; a carrier whose names have another case finds them all the same.
///
/// ```
/// use asmm::recorder::Carrier;
///
/// /// The headers of a message queue.
/// struct Headers(Vec<(String, String)>);
///
/// impl Carrier for Headers {
///     fn get(&self, name: &str) -> Option<String> {
///         let found = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
///         found.map(|(_, value)| value.clone())
///     }
///
///     fn set(&mut self, name: &'static str, value: String) {
///         self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
///         self.0.push((name.to_owned(), value));
///     }
/// }
/// ```
pub trait Carrier {
    /// The value of a header.
    fn get(&self, name: &str) -> Option<String>;
    /// Sets a header, in place of one of that name.
    fn set(&mut self, name: &'static str, value: String);
}

impl<S: BuildHasher> Carrier for HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<String> {
        let found = self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.retain(|key, _| !key.eq_ignore_ascii_case(name));
        self.insert(name.to_owned(), value);
    }
}

pub(super) fn inject(run_id: RunId, step_id: Option<StepId>, carrier: &mut impl Carrier) {
    let others = carrier.get("baggage").unwrap_or_default();
    let step = step_id.map(|id| format!(",{STEP}={id}")).unwrap_or_default();
    let mut baggage = format!("{RUN}={run_id}{step}");
    let is_theirs = |member: &&str| !member.is_empty() && !matches!(name_of(member), RUN | STEP);
    for member in others.split(',').map(str::trim).filter(is_theirs) {
        // What no longer fits is left out, as W3C has it.
        if baggage.len() + 1 + member.len() <= MAX_BAGGAGE_BYTES {
            baggage.push(',');
            baggage.push_str(member);
        }
    }
    carrier.set("baggage", baggage);
    if carrier.get("traceparent").is_none() {
        // The last eight bytes of an id are random, and never all zero in a UUIDv7.
        let span = step_id.map_or(run_id.0, |id| id.0).as_u128() & u128::from(u64::MAX);
        carrier.set("traceparent", format!("00-{}-{span:016x}-01", run_id.0.simple()));
    }
}

pub(super) fn extract(carrier: &impl Carrier, now: Timestamp) -> Option<(RunId, Option<StepId>)> {
    let baggage = carrier.get("baggage").filter(|text| text.len() <= MAX_BAGGAGE_BYTES).unwrap_or_default();
    let value = |name: &str| {
        let member = baggage.split(',').map(str::trim).find(|member| name_of(member) == name)?;
        // Properties may follow a value.
        let (_, value) = member.split_once('=')?;
        value.split(';').next().map(|value| value.trim().to_owned())
    };
    let run_id = value(RUN).and_then(|id| id.parse().ok());
    if let Some(run_id) = run_id {
        return Some((run_id, value(STEP).and_then(|id| id.parse().ok())));
    }
    let traceparent = carrier.get("traceparent")?;
    let id = Uuid::try_parse(traceparent.split('-').nth(1).filter(|id| id.len() == 32)?).ok()?;
    is_recent_run(id, now).then_some((RunId(id), None))
}

fn name_of(member: &str) -> &str {
    member.split('=').next().unwrap_or_default().trim()
}

fn is_recent_run(id: Uuid, now: Timestamp) -> bool {
    let made = id.get_timestamp().filter(|_| id.get_version_num() == 7).map(|time| time.to_unix().0);
    let now = u64::try_from(now.seconds()).unwrap_or_default();
    made.is_some_and(|made| made <= now + 86_400 && now.saturating_sub(made) <= RUN_AGE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (RunId, StepId) {
        (RunId(Uuid::now_v7()), StepId(Uuid::now_v7()))
    }

    fn now() -> Timestamp {
        crate::clock::Clock::System.now()
    }

    fn carrier(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_injected_is_extracted() {
        let (run, step) = ids();
        for step in [None, Some(step)] {
            let mut headers = HashMap::new();
            inject(run, step, &mut headers);
            assert_eq!(extract(&headers, now()), Some((run, step)));
            let parent = headers["traceparent"].clone();
            assert_eq!(parent.len(), 55);
            assert_ne!(&parent[36..52], "0000000000000000");
            // A proxy that drops the baggage.
            headers.remove("baggage");
            assert_eq!(extract(&headers, now()), Some((run, None)));
        }
    }

    #[test]
    fn what_others_have_put_there_stays() {
        let (run, step) = ids();
        let theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = carrier(&[
            ("Traceparent", theirs),
            ("Baggage", "user=1;p=2 , asmm-run-id=0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60, b=%20"),
        ]);
        assert_eq!(extract(&carrier(&[("traceparent", theirs)]), now()), None);
        inject(run, Some(step), &mut headers);
        assert_eq!(headers["Traceparent"], theirs);
        assert_eq!(headers["baggage"], format!("asmm-run-id={run},asmm-step-id={step},user=1;p=2,b=%20"));
        assert_eq!(headers.len(), 2);
        let mut full = carrier(&[("baggage", &format!("{}=x,y=z", "x".repeat(8100)))]);
        inject(run, Some(step), &mut full);
        assert_eq!(full["baggage"], format!("asmm-run-id={run},asmm-step-id={step},y=z"));
    }

    #[test]
    fn what_is_no_id_is_passed_over() {
        let (run, _) = ids();
        for (baggage, expected) in [
            ("", None),
            ("asmm-run-id", None),
            ("asmm-run-id=x", None),
            (&format!("asmm-run-id={run};x=y, asmm-step-id=x"), Some((run, None))),
            (&format!("asmm-run-id={run}{}", ",".repeat(9000)), None),
        ] {
            assert_eq!(extract(&carrier(&[("baggage", baggage)]), now()), expected, "{baggage}");
        }
        for parent in ["", "00", "00-x-y-z", "00--", "00-00000000000000000000000000000000-0-0"] {
            assert_eq!(extract(&carrier(&[("traceparent", parent)]), now()), None, "{parent}");
        }
    }
}
