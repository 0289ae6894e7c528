//! `asmm serve`: an OTLP/HTTP receiver in front of the ledger.
//!
//! [`http`] takes requests in and answers them; [`queue`] holds what came meanwhile, on disk as well; [`writer`] puts it into the ledger
//! in one transaction, or leaves it on disk when the ledger is out of reach. A request is answered with 200 only when its spans are in
//! one of them.

mod answer;
mod body;
mod http;
mod metrics;
mod queue;
mod writer;

use super::context::{Ctx, Exit, say};
use super::recording;
use crate::error::{Error, Result};
use crate::intake::otlp::Texts;
use crate::recorder::LazyGuard;
use clap::Args;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use writer::Writer;

/// Where it listens when nobody says.
pub(super) const LISTEN: &str = "127.0.0.1:4318";
/// How long a client may take for the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long requests that are being answered may take after the server was told to end.
const END_PATIENCE: Duration = Duration::from_secs(15);
/// How often what waits in the spool is looked for.
const DRAIN_EVERY: Duration = Duration::from_secs(5);
/// For how long spans are kept to resolve later ones with.
const KEPT_DAYS: u32 = 3;
/// How often older ones are dropped.
const FORGET_EVERY: Duration = Duration::from_mins(10);
/// The most connections at once.
const MAX_CONNECTIONS: usize = 1024;

/// Take in OpenTelemetry: an OTLP/HTTP receiver
///
/// Point an exporter at http://127.0.0.1:4318: spans on /v1/traces and log events on /v1/logs, as protobuf or JSON, plain or gzip. What
/// reports a call to a model is recorded, once, however often and in whatever order it comes. Prompts and answers are dropped, unless
/// --keep-texts is given: then they pass the guard before they are stored. /v1/metrics is answered and ignored. A request is answered
/// with 200 when its calls are in the ledger, or safe on disk while the ledger is busy or out of reach. /healthz, /readyz and /metrics
/// (Prometheus) are for operators.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; any address but the machine's own needs a token
    #[arg(long, value_name = "IP:PORT", env = "ASMM_SERVE_LISTEN", default_value = LISTEN)]
    listen: SocketAddr,
    /// A file with the token that clients must send as `Authorization: Bearer TOKEN` [default: ASMM_SERVE_TOKEN]
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// The most that a request's body may hold, in MiB; unpacked, twice that
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    max_body: u32,
    /// The most that all requests may hold at once, in MiB; what comes beyond is told to come again
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_memory: u32,
    /// Also keep prompts and answers that spans tell, after the guard has redacted them
    #[arg(long, env = "ASMM_KEEP_TEXTS", value_parser = clap::builder::FalseyValueParser::new())]
    keep_texts: bool,
}

pub(super) async fn run(ctx: &Ctx, args: ServeArgs) -> Result<Exit> {
    let token = token(&args)?;
    if token.is_none() && !args.listen.ip().is_loopback() {
        return Err(Error::usage(format!(
            "`{}` can be reached from other machines, and there is no token",
            args.listen
        ))
        .hint(
            "put one into a file and give --token-file PATH, or set ASMM_SERVE_TOKEN; or listen on 127.0.0.1",
        ));
    }
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Error::io(format!("cannot listen on `{}`", args.listen), error)
            .hint("is another receiver running there? --listen takes another port")
    })?;
    let address = listener.local_addr().map_err(|error| Error::io("the server has no address", error))?;

    let (writer, sender) = Writer::new(ctx)?;
    let opened = writer.ledger().await;
    // Before it says that it listens: whoever hears that may tell it to end.
    let mut signals = Signals::watched()?;
    match opened {
        Ok(store) => say(&format!("asmm serve: http://{address} into {}", store.shown())),
        Err(error) if error.is_of_the_ledger() => {
            say(&format!("warning: {error}"));
            say(&format!(
                "asmm serve: http://{address} into the spool `{}` until the ledger can be reached",
                writer.spool().folder().display()
            ));
        }
        Err(error) => return Err(error),
    }
    let limits = body::Limits::new(args.max_body, args.max_memory);
    let reading = reading(ctx, args.keep_texts)?;
    let server = http::Server::new(sender, (limits, reading), token, writer.metrics(), ctx.clock);
    let server = Arc::new(server);
    let (end, ended) = watch::channel(false);
    let accepting = async {
        let outcome = accept(&listener, server, ended.clone()).await;
        // Now nobody sends any more.
        let _ = end.send(true);
        outcome
    };
    let mut ending = ended.clone();
    let housekeeping = async {
        tokio::select! {
            () = keep_house(ctx, &writer) => {}
            _ = ending.wait_for(|ended| *ended) => {}
        }
    };
    let serving = async { tokio::join!(accepting, writer.run(), housekeeping).0 };
    tokio::pin!(serving);
    tokio::select! {
        outcome = &mut serving => outcome?,
        () = signals.next() => {
            let _ = end.send(true);
            say("asmm serve: ending; requests that came are still answered");
            tokio::select! {
                outcome = &mut serving => outcome?,
                () = signals.next() => {}
            }
        }
    }
    say(&format!("asmm serve: {}", writer.metrics().summary()));
    Ok(Exit::Fine)
}

/// What becomes of texts. A guard that cannot be set up is said at the start, not when the first text comes.
fn reading(ctx: &Ctx, keep_texts: bool) -> Result<body::Reading> {
    let guard = LazyGuard::new(ctx.policy().clone());
    if keep_texts {
        guard.get()?;
    }
    Ok(body::Reading { texts: if keep_texts { Texts::Keep } else { Texts::Drop }, guard })
}

fn token(args: &ServeArgs) -> Result<Option<String>> {
    let token = match &args.token_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Error::io(format!("the token file `{}` cannot be read", path.display()), error)
        })?,
        None => match std::env::var("ASMM_SERVE_TOKEN") {
            Ok(token) => token,
            Err(_) => return Ok(None),
        },
    };
    let token = token.trim().to_owned();
    if token.is_empty() {
        return Err(Error::usage("the token is empty").hint("make one with `openssl rand -hex 32`"));
    }
    Ok(Some(token))
}

/// What tells it to end. One that comes while nobody waits is not lost.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn watched() -> Result<Self> {
        let watch = |kind| signal(kind).map_err(|error| Error::io("signals cannot be waited for", error));
        Ok(Self { interrupt: watch(SignalKind::interrupt())?, terminate: watch(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Takes connections until the end is said, and then waits for those that are being answered.
async fn accept(
    listener: &TcpListener,
    server: Arc<http::Server>,
    mut ended: watch::Receiver<bool>,
) -> Result<()> {
    let router = http::router(server);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let place = tokio::select! {
            place = Arc::clone(&room).acquire_owned() => place.map_err(|_| Error::database("the server is closed"))?,
            _ = ended.wait_for(|ended| *ended) => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A connection that broke, or no more files: neither ends the server.
                Err(error) => {
                    tracing::warn!("a connection could not be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = ended.wait_for(|ended| *ended) => break,
        };
        // Small answers are sent at once.
        let _ = stream.set_nodelay(true);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that goes away, or talks nonsense, concerns nobody else.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(router);
    let _ = tokio::time::timeout(END_PATIENCE, graceful.shutdown()).await;
    // Who still sends is cut off.
    connections.shutdown().await;
    Ok(())
}

/// Delivers what waits in the spool, and drops spans that are too old to matter.
async fn keep_house(ctx: &Ctx, writer: &Writer<'_>) {
    let mut forgotten = tokio::time::Instant::now();
    // What was left when the last one ended comes at once, and empty files of it go.
    let mut is_first = true;
    let mut rounds = tokio::time::interval(DRAIN_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        if writer.is_paused() {
            continue;
        }
        let Ok(store) = writer.ledger().await else { continue };
        if is_first || writer.spool().is_empty().is_ok_and(|is_empty| !is_empty) {
            if let Err(error) = recording::drain(ctx, writer.spool(), &store).await {
                tracing::warn!("what waits in the spool is not delivered yet: {error}");
            }
            is_first = false;
        }
        if forgotten.elapsed() >= FORGET_EVERY {
            forgotten = tokio::time::Instant::now();
            let before = ctx.clock.now().plus_micros(-i64::from(KEPT_DAYS) * 86_400_000_000);
            if let Err(error) = store.forget_spans(before).await {
                tracing::warn!("old spans are not dropped yet: {error}");
            }
        }
    }
}
