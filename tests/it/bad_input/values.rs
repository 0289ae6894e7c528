//! Wrong values through the Rust API, which says the same on both databases.

use super::{DAY, MINUTE, Refusals, dump, filled, finish, finish_step, step, step_id};
use crate::support::on_both_databases;
use crate::writing::{call, now, run_id, start};
use asmm::domain::{Call, CallId, Event, StartRun, StartStep, Status, TokenKind, TokenUsage};
use asmm::error::ErrorKind;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A usage with `count` of one kind.
fn usage(kind: TokenKind, count: u64) -> TokenUsage {
    let json = serde_json::json!({ kind.name(): count });
    serde_json::from_value(json).unwrap()
}

fn labels(n: usize) -> BTreeMap<String, String> {
    (0..n).map(|i| (format!("label-{i}"), "x".to_owned())).collect()
}

/// Names that are none, and how a person would call them.
fn no_names() -> [(&'static str, String); 7] {
    [
        ("empty", String::new()),
        ("blank", "   ".to_owned()),
        ("an ideographic space", "\u{3000}".to_owned()),
        ("of 201 characters", "é".repeat(201)),
        ("with a line break", "two\nlines".to_owned()),
        ("with a NUL", "nul\0".to_owned()),
        ("with a C1 control", "c1\u{9b}".to_owned()),
    ]
}

on_both_databases! {
    async fn counts(db: TestDb) {
        let store = filled(&db).await;
        let mut refusals = Refusals::of(&store).await;
        for kind in TokenKind::ALL {
            for count in [1_000_000_001, u64::from(u32::MAX), u64::MAX] {
                let bad = Call { usage: Some(usage(kind, count)), ..call(1, 9) };
                let error = store.record_calls(std::slice::from_ref(&bad)).await.unwrap_err();
                let named = format!("usage `{}` is {count};", kind.name());
                assert!(error.to_string().contains(&named), "{error}");
                assert_eq!(error.kind(), ErrorKind::Input);
            }
        }
        let bad = Call { usage: Some(usage(TokenKind::Input, 1_000_000_001)), ..call(1, 9) };
        refusals.add("tokens", store.record_calls(&[call(1, 8), bad]).await).await;
        let bad = Call { latency_ms: Some(u64::MAX), ..call(1, 9) };
        refusals.add("latency", store.record_calls(&[bad]).await).await;
        for attempt in [0, 10_001, u32::MAX] {
            let bad = StartStep { attempt, ..step(1, 9) };
            refusals.add("attempt", store.start_step(&bad).await).await;
        }
        let many = vec![call(1, 9); 10_001];
        refusals.add("10,001 calls", store.record_calls(&many).await).await;
        let said = refusals.end().await;
        insta::allow_duplicates! { insta::assert_snapshot!(said, @"
        tokens
          Input: call 2 of the batch: usage `input` is 1000000001; one call has at most 1000000000 of a kind
          hint: record one call per request to the model, not a sum over many
        latency
          Input: call 1 of the batch: `latency_ms` is 18446744073709551615; the limit is 2592000000 (30 days)
          hint: is it in milliseconds?
        attempt
          Input: `attempt` is 0; attempts count from 1 to 10000
          hint: leave `attempt` out for the first
        attempt
          Input: `attempt` is 10001; attempts count from 1 to 10000
          hint: leave `attempt` out for the first
        attempt
          Input: `attempt` is 4294967295; attempts count from 1 to 10000
          hint: leave `attempt` out for the first
        10,001 calls
          Input: the batch has 10001 calls; the limit is 10000
          hint: send it in parts; a part that is sent twice changes nothing
        ") };

        // The limits themselves are taken.
        let largest = Call { usage: Some(usage(TokenKind::Output, 1_000_000_000)), ..call(1, 9) };
        assert_eq!(store.record_calls(&[largest]).await.unwrap().recorded, 1);
        let batch: Vec<Call> = (10..10_010).map(|n| call(1, n)).collect();
        assert_eq!(store.record_calls(&batch).await.unwrap().recorded, 10_000);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn times(db: TestDb) {
        let store = filled(&db).await;
        let mut refusals = Refusals::of(&store).await;
        let long_ago = "2014-12-31T23:59:59.999999Z".parse().unwrap();
        for (what, time) in [("before 2015", long_ago), ("a day ahead", now().plus_micros(DAY + 1))] {
            let run = StartRun { started_at: time, ..start(9) };
            refusals.add(&format!("run {what}"), store.start_run(&run).await).await;
            let bad = StartStep { started_at: Some(time), ..step(1, 9) };
            refusals.add(&format!("step {what}"), store.start_step(&bad).await).await;
            let bad = Call { called_at: time, ..call(1, 9) };
            refusals.add(&format!("call {what}"), store.record_calls(&[bad]).await).await;
            let end = finish(1, Status::Succeeded, Some(time));
            refusals.add(&format!("end of run {what}"), store.finish_run(&end).await).await;
            let end = finish_step(1, 7, Status::Succeeded, Some(time));
            refusals.add(&format!("end of step {what}"), store.finish_step(&end).await).await;
        }
        let said = refusals.end().await;
        insta::allow_duplicates! { insta::assert_snapshot!(said, @"
        run before 2015, step before 2015
          Input: `started_at` 2014-12-31T23:59:59.999999Z is before 2015
          hint: is it in the right unit? times are RFC 3339, such as `2026-11-20T12:00:00Z`
        call before 2015
          Input: call 1 of the batch: `called_at` 2014-12-31T23:59:59.999999Z is before 2015
          hint: is it in the right unit? times are RFC 3339, such as `2026-11-20T12:00:00Z`
        end of run before 2015, end of step before 2015
          Input: `completed_at` 2014-12-31T23:59:59.999999Z is before 2015
          hint: is it in the right unit? times are RFC 3339, such as `2026-11-20T12:00:00Z`
        run a day ahead, step a day ahead
          Input: `started_at` 2026-11-21T12:00:00.000001Z is more than a day ahead
          hint: check the clock and the time zone of the machine that recorded it
        call a day ahead
          Input: call 1 of the batch: `called_at` 2026-11-21T12:00:00.000001Z is more than a day ahead
          hint: check the clock and the time zone of the machine that recorded it
        end of run a day ahead, end of step a day ahead
          Input: `completed_at` 2026-11-21T12:00:00.000001Z is more than a day ahead
          hint: check the clock and the time zone of the machine that recorded it
        ") };
    }

    #[allow(clippy::too_many_lines, reason = "a long list, and what is said to each")]
    async fn names(db: TestDb) {
        let store = filled(&db).await;
        let mut refusals = Refusals::of(&store).await;
        for (what, name) in no_names() {
            let run = StartRun { pipeline: name.clone(), ..start(9) };
            refusals.add(&format!("pipeline {what}"), store.start_run(&run).await).await;
            for (field, bad) in [
                ("step", StartStep { step: name.clone(), ..step(1, 9) }),
                ("agent", StartStep { agent: name.clone(), ..step(1, 9) }),
                ("prompt_version", StartStep { prompt_version: Some(name.clone()), ..step(1, 9) }),
            ] {
                if field == "agent" && name.is_empty() {
                    continue;
                }
                let error = store.start_step(&bad).await.unwrap_err();
                assert!(error.to_string().starts_with(&format!("`{field}` ")), "{error}");
                assert_eq!(error.kind(), ErrorKind::Input);
            }
            let base = call(1, 9);
            for (field, bad) in [
                ("model", Call { model: name.clone(), ..base.clone() }),
                ("operation", Call { operation: name.clone(), ..base.clone() }),
                ("service_tier", Call { service_tier: name.clone(), ..base.clone() }),
                ("agent", Call { agent: name.clone(), ..base.clone() }),
                ("provider", Call { provider: name.clone(), ..base.clone() }),
                ("response_id", Call { response_id: Some(name.clone()), ..base.clone() }),
                ("pipeline", Call { pipeline: Some(name.clone()), ..base.clone() }),
            ] {
                if matches!(field, "agent" | "provider") && name.is_empty() {
                    continue;
                }
                let error = store.record_calls(&[call(1, 8), bad]).await.unwrap_err();
                assert!(error.to_string().starts_with(&format!("call 2 of the batch: `{field}` ")), "{error}");
                assert_eq!(error.kind(), ErrorKind::Input);
                assert!(error.next_step().is_some(), "{error}");
            }
            let run = StartRun { labels: [(name.clone(), "x".to_owned())].into(), ..start(9) };
            refusals.add(&format!("label {what}"), store.start_run(&run).await).await;
            if !name.is_empty() {
                let run = StartRun { labels: [("batch".to_owned(), name)].into(), ..start(9) };
                refusals.add(&format!("label's value {what}"), store.start_run(&run).await).await;
            }
        }
        let run = StartRun { labels: labels(65), ..start(9) };
        refusals.add("65 labels", store.start_run(&run).await).await;
        let said = refusals.end().await;
        insta::allow_duplicates! { insta::assert_snapshot!(said, @"
        pipeline empty
          Input: `pipeline` is empty
          hint: give `pipeline` a name
        label empty
          Input: `labels` is empty
          hint: give `labels` a name
        pipeline blank
          Input: `pipeline` is empty
          hint: give `pipeline` a name
        label blank
          Input: `labels` is empty
          hint: give `labels` a name
        label's value blank
          Input: `batch` is empty
          hint: give `batch` a name
        pipeline an ideographic space
          Input: `pipeline` is empty
          hint: give `pipeline` a name
        label an ideographic space
          Input: `labels` is empty
          hint: give `labels` a name
        label's value an ideographic space
          Input: `batch` is empty
          hint: give `batch` a name
        pipeline of 201 characters
          Input: `pipeline` is 201 characters long; the limit is 200
          hint: put details into the run's labels instead
        label of 201 characters
          Input: `labels` is 201 characters long; the limit is 200
          hint: put details into the run's labels instead
        label's value of 201 characters
          Input: `batch` is 201 characters long; the limit is 200
          hint: put details into the run's labels instead
        pipeline with a line break
          Input: `pipeline` holds the control character U+000A
          hint: names are one line of printable text
        label with a line break
          Input: `labels` holds the control character U+000A
          hint: names are one line of printable text
        label's value with a line break
          Input: `batch` holds the control character U+000A
          hint: names are one line of printable text
        pipeline with a NUL
          Input: `pipeline` holds the control character U+0000
          hint: names are one line of printable text
        label with a NUL
          Input: `labels` holds the control character U+0000
          hint: names are one line of printable text
        label's value with a NUL
          Input: `batch` holds the control character U+0000
          hint: names are one line of printable text
        pipeline with a C1 control
          Input: `pipeline` holds the control character U+009B
          hint: names are one line of printable text
        label with a C1 control
          Input: `labels` holds the control character U+009B
          hint: names are one line of printable text
        label's value with a C1 control
          Input: `batch` holds the control character U+009B
          hint: names are one line of printable text
        65 labels
          Input: `labels` has 65 entries; the limit is 64
          hint: labels are words to find a run by; record what there is much of elsewhere
        ") };

        let full = StartRun { labels: labels(64), pipeline: "é".repeat(200), ..start(9) };
        assert_eq!(store.start_run(&full).await.unwrap().labels.len(), 64);
    }

    async fn what_is_not_there(db: TestDb) {
        let store = filled(&db).await;
        let mut refusals = Refusals::of(&store).await;
        refusals.add("a call of no run", store.record_calls(&[call(1, 8), call(404, 9)]).await).await;
        let bad = Call { step_id: Some(step_id(404)), ..call(1, 9) };
        refusals.add("a call of no step", store.record_calls(&[call(1, 8), bad]).await).await;
        refusals.add("a step of no run", store.start_step(&step(404, 9)).await).await;
        let bad = StartStep { prompt_version: Some("nothing@7".to_owned()), ..step(1, 9) };
        refusals.add("a step of no prompt", store.start_step(&bad).await).await;
        let bad = StartStep { prompt_version: Some("9".repeat(40)), ..step(1, 9) };
        refusals.add("a step of no prompt's id", store.start_step(&bad).await).await;
        refusals.add("the end of no run", store.finish_run(&finish(404, Status::Failed, None)).await).await;
        let bad = finish_step(1, 404, Status::Failed, None);
        refusals.add("the end of no step", store.finish_step(&bad).await).await;
        let bad = StartRun { replay_of: Some(run_id(404)), ..start(9) };
        refusals.add("a replay of no run", store.start_run(&bad).await).await;
        let bad = StartRun { replay_of: Some(run_id(9)), ..start(9) };
        refusals.add("a replay of itself", store.start_run(&bad).await).await;
        let bad = StartRun { replay_of: Some(run_id(1)), started_at: now(), ..start(9) };
        refusals.add("a replay before its original", store.start_run(&bad).await).await;
        refusals.add("no end", store.finish_run(&finish(1, Status::Running, None)).await).await;
        refusals.add("asking for no run", store.run(run_id(404)).await).await;
        refusals.add("asking for no step", store.step(run_id(1), step_id(404)).await).await;
        let said = refusals.end().await;
        insta::allow_duplicates! { insta::assert_snapshot!(said, @"
        a call of no run
          NotFound: run `00000000-0000-0000-0000-000000000194` is unknown
          hint: start it first: start_run, or `asmm runs start --run-id`
        a call of no step
          NotFound: step `00000000-0000-0000-0000-000000000194` of run `00000000-0000-0000-0000-000000000001` is unknown
          hint: start it first: start_step, or `asmm runs step`
        a step of no run
          NotFound: run `00000000-0000-0000-0000-000000000194` is unknown
          hint: start it first: start_run, or `asmm runs start --run-id`
        a step of no prompt
          NotFound: prompt version `nothing@7` is unknown
          hint: name a version's id, `name`, `name@7`, `name@label` or `name@sha256:…`; see `asmm prompts list`
        a step of no prompt's id
          NotFound: prompt version `9999999999999999999999999999999999999999` is unknown
          hint: name a version's id, `name`, `name@7`, `name@label` or `name@sha256:…`; see `asmm prompts list`
        the end of no run
          NotFound: run `00000000-0000-0000-0000-000000000194` is unknown
          hint: start it first: start_run, or `asmm runs start --run-id`
        the end of no step
          NotFound: step `00000000-0000-0000-0000-000000000194` of run `00000000-0000-0000-0000-000000000001` is unknown
          hint: start it first: start_step, or `asmm runs step`
        a replay of no run
          NotFound: run `00000000-0000-0000-0000-000000000194` is unknown
          hint: start it first: start_run, or `asmm runs start --run-id`
        a replay of itself
          Input: `replay_of` names the run itself
        a replay before its original
          Input: `started_at` 2026-11-20T12:00:00Z is not after that of the run it replays
          hint: a replay starts after its original
        no end
          Input: status `running` does not finish anything
          hint: finish with succeeded, failed, cancelled or abandoned
        asking for no run
          NotFound: run `00000000-0000-0000-0000-000000000194` is unknown
          hint: start it first: start_run, or `asmm runs start --run-id`
        asking for no step
          NotFound: step `00000000-0000-0000-0000-000000000194` of run `00000000-0000-0000-0000-000000000001` is unknown
          hint: start it first: start_step, or `asmm runs step`
        ") };
    }

    async fn what_is_there_otherwise(db: TestDb) {
        let store = filled(&db).await;
        let mut refusals = Refusals::of(&store).await;
        for (what, bad) in [
            ("pipeline", StartRun { pipeline: "other".into(), ..start(1) }),
            ("start", StartRun { started_at: now().plus_micros(1), ..start(1) }),
            ("labels", StartRun { labels: BTreeMap::new(), ..start(1) }),
            ("parent", StartRun { parent_run_id: Some(run_id(3)), ..start(1) }),
            ("original", StartRun { started_at: now().plus_micros(1), replay_of: Some(run_id(2)), ..start(1) }),
        ] {
            refusals.add(&format!("a run of another {what}"), store.start_run(&bad).await).await;
        }
        for (what, bad) in [
            ("name", StartStep { step: "other".into(), ..step(1, 7) }),
            ("agent", StartStep { agent: String::new(), ..step(1, 7) }),
            ("attempt", StartStep { attempt: 2, ..step(1, 7) }),
            ("start", StartStep { started_at: Some(now().plus_micros(1)), ..step(1, 7) }),
        ] {
            refusals.add(&format!("a step of another {what}"), store.start_step(&bad).await).await;
        }
        let end = now().plus_micros(MINUTE);
        for (what, status, at) in
            [("status", Status::Succeeded, None), ("time", Status::Failed, Some(end.plus_micros(1)))]
        {
            let bad = finish(2, status, at);
            refusals.add(&format!("a run's end of another {what}"), store.finish_run(&bad).await).await;
            let bad = finish_step(2, 7, status, at);
            refusals.add(&format!("a step's end of another {what}"), store.finish_step(&bad).await).await;
        }
        let bad = Call { pipeline: Some("other".into()), ..call(1, 9) };
        refusals.add("a call of another pipeline", store.record_calls(&[call(1, 8), bad]).await).await;
        let said = refusals.end().await;
        insta::allow_duplicates! { insta::assert_snapshot!(said, @"
        a run of another pipeline, a run of another start, a run of another labels, a run of another parent, a run of another original
          Conflict: run `00000000-0000-0000-0000-000000000001` is already recorded with other contents
          hint: a run's pipeline, start, labels, parent and original never change; use a new run id
        a step of another name, a step of another agent, a step of another attempt, a step of another start
          Conflict: step `00000000-0000-0000-0000-000000000007` of run `00000000-0000-0000-0000-000000000001` is already recorded with other contents
          hint: a step's name, agent, attempt, prompt version and start never change; use a new step id
        a run's end of another status
          Conflict: run `00000000-0000-0000-0000-000000000002` is already finished as `failed` at 2026-11-20T12:01:00Z
          hint: a finished run stays as it is; calls that come late are still taken
        a step's end of another status
          Conflict: step `00000000-0000-0000-0000-000000000007` of run `00000000-0000-0000-0000-000000000002` is already finished as `failed` at 2026-11-20T12:01:00Z
          hint: a finished step stays as it is
        a run's end of another time
          Conflict: run `00000000-0000-0000-0000-000000000002` is already finished as `failed` at 2026-11-20T12:01:00Z
          hint: a finished run stays as it is; calls that come late are still taken
        a step's end of another time
          Conflict: step `00000000-0000-0000-0000-000000000007` of run `00000000-0000-0000-0000-000000000002` is already finished as `failed` at 2026-11-20T12:01:00Z
          hint: a finished step stays as it is
        a call of another pipeline
          Conflict: run `00000000-0000-0000-0000-000000000001` belongs to another pipeline than a call of it says
          hint: leave `pipeline` out, or use a new run id
        ") };

        // The same again is no refusal.
        let before = dump(&store).await;
        store.start_run(&start(1)).await.unwrap();
        store.start_step(&step(1, 7)).await.unwrap();
        store.finish_run(&finish(2, Status::Failed, Some(end))).await.unwrap();
        store.finish_step(&finish_step(2, 7, Status::Failed, None)).await.unwrap();
        assert_eq!(dump(&store).await, before);
    }

    /// A call that differs from what is recorded under its id is left alone; its neighbours are recorded.
    async fn one_conflict_among_good_calls(db: TestDb) {
        let store = filled(&db).await;
        let was = store.find_call(run_id(1), CallId(Uuid::from_u128(1))).await.unwrap();
        let mut others = Vec::new();
        let changes: [fn(&mut Call); 12] = [
            |c| c.step_id = Some(step_id(7)),
            |c| c.agent = "other".into(),
            |c| c.provider = "anthropic".into(),
            |c| c.model = "other".into(),
            |c| c.operation = "embeddings".into(),
            |c| c.service_tier = "batch".into(),
            |c| c.called_at = now().plus_micros(1),
            |c| c.usage = None,
            |c| c.usage = Some(TokenUsage { input: 1_000, output: 11, ..TokenUsage::default() }),
            |c| c.latency_ms = None,
            |c| c.outcome = asmm::domain::Outcome::Error,
            |c| c.response_id = Some("r".into()),
        ];
        for change in changes {
            let mut other = call(1, 1);
            change(&mut other);
            others.push(other);
        }
        for (n, other) in (100..).step_by(2).zip(others) {
            let recorded = store.record_calls(&[call(1, n), other.clone(), call(1, n + 1)]).await.unwrap();
            assert_eq!(recorded.recorded, 2, "{other:?}");
            assert_eq!(recorded.duplicate, 0, "{other:?}");
            assert_eq!(recorded.conflict, [(run_id(1), CallId(Uuid::from_u128(1)))], "{other:?}");
        }
        assert_eq!(store.find_call(run_id(1), CallId(Uuid::from_u128(1))).await.unwrap(), was);
        assert_eq!(store.run(run_id(1)).await.unwrap().totals.llm_calls, 25);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    /// `record_calls` is all or none; `apply` refuses the bad ones only.
    async fn one_bad_call_among_good_ones(db: TestDb) {
        let store = filled(&db).await;
        let base = call(1, 50);
        let bad = [
            Call { model: String::new(), ..base.clone() },
            Call { model: "nul\0".into(), ..base.clone() },
            Call { model: "m".repeat(201), ..base.clone() },
            Call { provider: "nul\0".into(), ..base.clone() },
            Call { usage: Some(usage(TokenKind::Input, u64::MAX)), ..base.clone() },
            Call { called_at: now().plus_micros(2 * DAY), ..base.clone() },
            Call { run_id: run_id(404), ..base.clone() },
            Call { step_id: Some(step_id(404)), ..base.clone() },
            Call { pipeline: Some("other".into()), ..base },
        ];
        let before = dump(&store).await;
        for bad in &bad {
            let batch = [call(1, 51), bad.clone(), call(1, 52)];
            let error = store.record_calls(&batch).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Input | ErrorKind::NotFound | ErrorKind::Conflict), "{error:?}");
            assert_eq!(dump(&store).await, before, "{error}");
        }
        let mut changes = Vec::new();
        for (n, bad) in (100..).zip(&bad) {
            changes.push(Event::Call(call(1, n)));
            changes.push(Event::Call(bad.clone()));
        }
        changes.push(Event::Run(StartRun { pipeline: String::new(), ..start(9) }));
        changes.push(Event::Finish(finish(1, Status::Succeeded, None)));
        let applied = store.apply(&changes).await.unwrap();
        assert_eq!(applied.calls.recorded, 9);
        let places: Vec<usize> = applied.refused.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [1, 3, 5, 7, 9, 11, 13, 15, 17, 18]);
        let run = store.run(run_id(1)).await.unwrap();
        assert_eq!((run.status, run.totals.llm_calls), (Status::Succeeded, 10));
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}
