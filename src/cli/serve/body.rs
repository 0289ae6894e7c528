//! Bodies within limits: of size, of all that are held at once, and of time.

use crate::domain::Timestamp;
use crate::intake::otlp::{self, Encoding, Signal, Spans, Texts};
use crate::recorder::LazyGuard;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(30);
/// And one that is not taken.
const UNWANTED_PATIENCE: Duration = Duration::from_secs(5);
/// How many bodies are read at once: reading takes a processor, and a multiple of the body's size.
const READ_AT_ONCE: usize = 2;
const KIB: usize = 1024;

/// What requests may take.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    max_body: usize,
    max_unpacked: usize,
    /// In KiB.
    memory: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// What becomes of a body's spans before anything else sees them.
#[derive(Clone)]
pub(super) struct Reading {
    pub texts: Texts,
    pub guard: LazyGuard,
}

/// Why a request is not taken.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub reason: String,
}

/// What is asked for, or why not: errors of the request, not of the program.
pub(super) type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// How a body is to be read, as its headers say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub encoding: Encoding,
    is_gzip: bool,
}

impl Form {
    pub fn of(headers: &HeaderMap) -> Outcome<Self> {
        let unsupported = |reason: String| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason);
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = text(header::CONTENT_TYPE);
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let encoding = if kind.eq_ignore_ascii_case("application/x-protobuf") {
            Encoding::Protobuf
        } else if kind.eq_ignore_ascii_case("application/json") {
            Encoding::Json
        } else {
            return Err(unsupported(format!(
                "the content type is `{}`; OTLP is application/x-protobuf or application/json",
                kind.chars().take(100).collect::<String>()
            )));
        };
        let packing = text(header::CONTENT_ENCODING).trim();
        let is_gzip = packing.eq_ignore_ascii_case("gzip");
        if !is_gzip && !packing.is_empty() && !packing.eq_ignore_ascii_case("identity") {
            return Err(unsupported(format!(
                "the content encoding is `{}`; gzip and identity are taken",
                packing.chars().take(100).collect::<String>()
            )));
        }
        Ok(Self { encoding, is_gzip })
    }
}

impl Limits {
    pub fn new(max_body_mib: u32, max_memory_mib: u32) -> Self {
        let mib = |count: u32| usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(1 << 20);
        let (max_body, memory) = (mib(max_body_mib), mib(max_memory_mib.max(max_body_mib * 4)));
        Self {
            max_body,
            max_unpacked: max_body * 2,
            memory: Arc::new(Semaphore::new(memory / KIB)),
            readers: Arc::new(Semaphore::new(READ_AT_ONCE)),
        }
    }

    /// The body, and its share of the memory for as long as that is held.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Outcome<(Vec<u8>, OwnedSemaphorePermit)> {
        let too_large = || {
            let limit = self.max_body >> 20;
            Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {limit} MiB; send fewer spans at once, or raise --max-body"),
            )
        };
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > self.max_body) {
            self.pass_over(body).await;
            return Err(too_large());
        }
        match tokio::time::timeout(PATIENCE, self.collect(body, too_large)).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {} s", PATIENCE.as_secs()),
            )),
        }
    }

    /// Takes a body as it comes, and memory for what has come: who announces much and sends little takes little.
    async fn collect(
        &self,
        body: Body,
        too_large: impl Fn() -> Refusal,
    ) -> Outcome<(Vec<u8>, OwnedSemaphorePermit)> {
        let mut parts = body.into_data_stream();
        let mut bytes = Vec::new();
        let mut held = hold(&self.memory, 1)?;
        while let Some(part) = parts.next().await {
            // A client that went away hears no answer.
            let part = part.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body is cut off"))?;
            let length = bytes.len() + part.len();
            if length > self.max_body {
                return Err(too_large());
            }
            if let Some(more) = length.checked_sub(held.num_permits() * KIB).filter(|more| *more > 0) {
                held.merge(hold(&self.memory, more)?);
            }
            bytes.extend_from_slice(&part);
        }
        Ok((bytes, held))
    }

    /// Reads a body that is not wanted, within limits: many clients hear the answer only after they have sent all.
    pub async fn pass_over(&self, body: Body) {
        let mut data = body.into_data_stream();
        let mut left = self.max_body.saturating_mul(4);
        let reading = async {
            while let Some(Ok(part)) = data.next().await
                && part.len() <= left
            {
                left -= part.len();
            }
        };
        let _ = tokio::time::timeout(UNWANTED_PATIENCE, reading).await;
    }

    /// What is in a body, and the share of the memory of what it unpacks to: its spans take about as much.
    pub async fn unpack(
        &self,
        body: Vec<u8>,
        (signal, form): (Signal, Form),
        how: &Reading,
        now: Timestamp,
    ) -> Outcome<(Spans, OwnedSemaphorePermit)> {
        let (limit, memory) = (self.max_unpacked, Arc::clone(&self.memory));
        let closed = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is ending");
        let turn = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| closed())?;
        let how = how.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let plain = if form.is_gzip { gunzip(&body, limit)? } else { body };
            // Texts that are kept are there twice for a while: as they came, and as values.
            let times = if how.texts == Texts::Keep { 3 } else { 1 };
            let held = hold(&memory, plain.len().saturating_mul(times))?;
            let mut spans = otlp::read(&plain, (signal, form.encoding), how.texts, now)
                .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
            spans.spans.iter_mut().for_each(|span| how.guard.look_at_span(span, now));
            Ok((spans, held))
        });
        reading.await.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body cannot be read"))?
    }
}

/// A share of the memory that all requests may have at once.
fn hold(memory: &Arc<Semaphore>, bytes: usize) -> Outcome<OwnedSemaphorePermit> {
    let share = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
    Arc::clone(memory).try_acquire_many_owned(share.max(1)).map_err(|_| {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "more is coming than can be taken in; come again")
    })
}

fn gunzip(body: &[u8], limit: usize) -> Outcome<Vec<u8>> {
    let mut plain = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
    let mut packed = flate2::read::MultiGzDecoder::new(body).take(limit as u64 + 1);
    packed
        .read_to_end(&mut plain)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is no gzip: {error}")))?;
    if plain.len() > limit {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body unpacks to more than {} MiB; send fewer spans at once", limit >> 20),
        ));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() -> crate::Result<()> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            std::io::Write::write_all(&mut packer, &vec![0; 1 << 20])
                .map_err(|e| crate::Error::io("packing", e))?;
        }
        let bomb = packer.finish().map_err(|e| crate::Error::io("packing", e))?;
        assert!(bomb.len() < 100_000);
        assert_eq!(
            gunzip(&bomb, 1 << 20).map_err(|refusal| refusal.status),
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        );
        assert_eq!(gunzip(&bomb, 1 << 27).map(|plain| plain.len()).ok(), Some(64 << 20));
        assert_eq!(
            gunzip(&bomb[..1000], 1 << 27).map_err(|refusal| refusal.status),
            Err(StatusCode::BAD_REQUEST)
        );
        Ok(())
    }
}
