//! Services over HTTP, each with a recorder of its own: what they do for a request is on its run and step.

use super::settings;
use crate::support::on_both_databases;
use crate::writing::open;
use asmm::domain::{Status, TokenUsage};
use asmm::recorder::{Context, Recorder, RecorderLayer};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(20);

/// Asks a service, with the context that `inject` says.
async fn ask(address: SocketAddr, context: Option<&Context>) -> String {
    let mut request = ureq::get(format!("http://{address}/"));
    let headers = request.headers_mut().unwrap();
    headers.insert("baggage", "user=1".parse().unwrap());
    if let Some(context) = context {
        context.inject(headers);
    }
    let answer = tokio::task::spawn_blocking(move || request.call()?.body_mut().read_to_string());
    answer.await.unwrap().unwrap()
}

async fn second() -> String {
    let Some(context) = Context::current() else { return "no run".to_owned() };
    context.call("openai", "gpt-4o").agent("second").usage(usage()).record();
    // It stays the context of the request after the handler was away.
    tokio::task::yield_now().await;
    Context::current().unwrap().run_id().to_string()
}

async fn first(State(second): State<SocketAddr>) -> String {
    let context = Context::current();
    if let Some(context) = &context {
        context.call("openai", "gpt-4o").agent("first").usage(usage()).record();
    }
    ask(second, context.as_ref()).await
}

fn usage() -> TokenUsage {
    TokenUsage { input: 1000, output: 10, ..TokenUsage::default() }
}

async fn serve(routes: Router, recorder: &Recorder) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = routes.layer(RecorderLayer::new(recorder.clone()));
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

on_both_databases! {
    async fn a_request_carries_its_run_through_two_services(db: TestDb) {
        let store = open(&db).await;
        let [pipeline, one, two] = [(); 3].map(|()| Recorder::connect(settings(&db)));
        let address = serve(Router::new().route("/", get(second)), &two).await;
        let address = serve(Router::new().route("/", get(first)).with_state(address), &one).await;

        let run = pipeline.run("enrichment").start();
        let other = pipeline.run("enrichment").start();
        let step = run.step("summarise").agent("writer").start();
        let (run_id, other_id, step_id) = (run.run_id(), other.run_id(), step.step_id());
        let (with_step, without, nothing) =
            tokio::join!(ask(address, Some(&step)), ask(address, Some(&other)), ask(address, None));
        assert_eq!((with_step, without), (run_id.to_string(), other_id.to_string()));
        assert_eq!(nothing, "no run");
        step.finish(Status::Succeeded);
        run.finish(Status::Succeeded);
        other.finish(Status::Succeeded);
        assert!(pipeline.shutdown(SOON).await.is_safe);
        assert!(one.flush(SOON).await.is_safe && two.flush(SOON).await.is_safe);
        // A service that was faster than the pipeline keeps its calls until their run is known.
        let third = Recorder::connect(settings(&db));
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        for run_id in [run_id, other_id] {
            while store.run(run_id).await.unwrap().totals.llm_calls < 2 {
                assert!(std::time::Instant::now() < deadline, "{one:?} {two:?} {third:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }

        for (run_id, step_id) in [(run_id, step_id), (other_id, None)] {
            let calls: Vec<_> = store.calls(run_id, None, 10).await.unwrap().into_iter().map(|c| c.call).collect();
            let mut agents: Vec<_> = calls.iter().map(|call| call.agent.as_str()).collect();
            agents.sort_unstable();
            assert_eq!(agents, ["first", "second"]);
            assert!(calls.iter().all(|call| call.step_id == step_id), "{calls:?}");
        }
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}
