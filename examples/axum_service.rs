//! One service calls another, and the calls of both are on one run: `cargo run --example axum_service --features tower`.
//!
//! Both are in this process, each with a recorder of its own, as if they were on two machines. The ledger is the one that
//! `ASMM_DATABASE_URL` names, or this user's; look at the run with `asmm runs show last`.

use asmm::domain::{Status, TokenUsage};
use asmm::recorder::{Context, Recorder, RecorderLayer};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, extract::State};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// What the second service does: a call to a model, on whatever run and step the request belongs to.
async fn search() -> &'static str {
    if let Some(context) = Context::current() {
        let usage = TokenUsage { embedding: 1200, ..TokenUsage::default() };
        context.call("openai", "text-embedding-3-small").operation("embeddings").usage(usage).record();
    }
    "a page about the company"
}

/// What the first service does: it asks the second one, and then a model.
async fn summary(State(search): State<SocketAddr>) -> Result<String, StatusCode> {
    let context = Context::current().ok_or(StatusCode::BAD_REQUEST)?;
    let mut request = ureq::get(format!("http://{search}/search"));
    if let Some(headers) = request.headers_mut() {
        context.inject(headers);
    }
    // This client blocks its thread.
    let found = tokio::task::spawn_blocking(move || request.call()?.body_mut().read_to_string()).await;
    let found = found.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let usage = TokenUsage { input: 2000, output: 300, ..TokenUsage::default() };
    context.call("openai", "gpt-4o").usage(usage).record();
    Ok(format!("a summary of {found}"))
}

/// Starts a service on a free port of this machine.
async fn serve(routes: Router, recorder: Recorder) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = routes.layer(RecorderLayer::new(recorder));
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(address)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (second, first) = (Recorder::from_env(), Recorder::from_env());
    let address = serve(Router::new().route("/search", get(search)), second.clone()).await?;
    let routes = Router::new().route("/summary", get(summary)).with_state(address);
    let address = serve(routes, first.clone()).await?;

    // A pipeline that uses them.
    let recorder = Recorder::from_env();
    let run = recorder.run("enrichment").start();
    let step = run.step("summarise").agent("writer").start();
    let mut request = ureq::get(format!("http://{address}/summary"));
    if let Some(headers) = request.headers_mut() {
        step.inject(headers);
    }
    let answer = tokio::task::spawn_blocking(move || request.call()?.body_mut().read_to_string()).await?;
    let is_done = answer.is_ok();
    step.finish(if is_done { Status::Succeeded } else { Status::Failed });
    run.finish(if is_done { Status::Succeeded } else { Status::Failed });
    for recorder in [recorder, first, second] {
        recorder.shutdown(Duration::from_secs(5)).await;
    }
    answer?;
    Ok(())
}
