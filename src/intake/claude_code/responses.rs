//! What is known of each response while the logs are read. Adding a line and merging two parts give the
//! same whatever the order.

use super::line::Usage;
use crate::domain::{CallId, Timestamp, TokenUsage};
use std::collections::HashMap;
use std::sync::Arc;

/// The format's part in derived ids.
pub(super) const FORMAT: &str = "claude-code";

/// Words that many responses share, kept once.
#[derive(Default)]
pub(super) struct Words {
    ids: HashMap<Arc<str>, u32>,
    words: Vec<Arc<str>>,
}

impl Words {
    fn id(&mut self, word: &str) -> u32 {
        if let Some(&id) = self.ids.get(word) {
            return id;
        }
        // 2^32 different names do not fit in memory; past them all are the last one.
        let id = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        let word: Arc<str> = Arc::from(word);
        self.words.push(Arc::clone(&word));
        self.ids.insert(word, id);
        id
    }

    pub(super) fn word(&self, id: u32) -> &str {
        self.words.get(usize::try_from(id).unwrap_or(usize::MAX)).map_or("", |word| word)
    }
}

/// What the winning line of a response says; the names are ids in [`Words`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub is_sidechain: bool,
    counts: [u32; 6],
    pub session: u32,
    pub project: u32,
    pub agent: u32,
    pub model: u32,
    pub service_tier: u32,
}

impl Told {
    fn total(&self) -> u64 {
        self.counts[..5].iter().map(|&count| u64::from(count)).sum()
    }

    /// The usage of the response.
    pub(super) fn usage(&self) -> TokenUsage {
        let [input, cache_read, cache_write, cache_write_long, output, web_searches] =
            self.counts.map(u64::from);
        let rest = TokenUsage::default();
        TokenUsage { input, cache_read, cache_write, cache_write_long, output, web_searches, ..rest }
    }

    fn names<'w>(&self, words: &'w Words) -> [&'w str; 5] {
        [self.project, self.session, self.agent, self.model, self.service_tier].map(|id| words.word(id))
    }

    /// Whether this line counts rather than `other`. Equal ones are told apart by their contents, so that
    /// the order of reading does not matter; the first name in the alphabet wins.
    fn beats(&self, other: &Told, words: &Words) -> bool {
        let rank = |told: &Told| (!told.is_sidechain, told.total(), told.counts);
        rank(self).cmp(&rank(other)).then_with(|| other.names(words).cmp(&self.names(words))).is_gt()
    }
}

/// A response as known so far.
pub(super) struct Response {
    pub message_id: Box<str>,
    pub has_request_id: bool,
    pub told: Told,
    /// The earliest time of its lines.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
    /// How many lines tell of it.
    pub lines: u32,
}

impl Response {
    /// Takes what another part knows of the same response.
    pub(super) fn absorb(&mut self, other: &Response, words: &Words) {
        if other.told.beats(&self.told, words) {
            self.told = other.told;
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.lines = self.lines.saturating_add(other.lines);
    }
}

/// Everything read so far.
#[derive(Default)]
pub(super) struct Responses {
    pub words: Words,
    pub by_call: HashMap<CallId, Response>,
    pub lines: u64,
    pub bytes: u64,
    pub synthetic: u64,
}

impl Responses {
    /// Adds what a line in `project` says.
    pub(super) fn add(&mut self, usage: &Usage<'_>, project: &str) {
        let call_id = CallId::derived(&[FORMAT, &usage.message_id, &usage.request_id]);
        let tokens = &usage.tokens;
        let told = Told {
            is_sidechain: usage.is_sidechain,
            // `TokenUsage::check` has seen that they fit.
            counts: [
                tokens.input,
                tokens.cache_read,
                tokens.cache_write,
                tokens.cache_write_long,
                tokens.output,
                tokens.web_searches,
            ]
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            session: self.words.id(&usage.session),
            project: self.words.id(project),
            agent: self.words.id(&usage.agent),
            model: self.words.id(&usage.model),
            service_tier: self.words.id(&usage.service_tier),
        };
        if let Some(known) = self.by_call.get_mut(&call_id) {
            if told.beats(&known.told, &self.words) {
                known.told = told;
            }
            known.first = known.first.min(usage.at);
            known.last = known.last.max(usage.at);
            known.lines = known.lines.saturating_add(1);
            return;
        }
        let response = Response {
            message_id: usage.message_id.as_ref().into(),
            has_request_id: !usage.request_id.is_empty(),
            told,
            first: usage.at,
            last: usage.at,
            lines: 1,
        };
        self.by_call.insert(call_id, response);
    }

    /// Adds what another thread has read.
    pub(super) fn merge(&mut self, other: Responses) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.synthetic += other.synthetic;
        if self.by_call.is_empty() {
            self.words = other.words;
            self.by_call = other.by_call;
            return;
        }
        let ids: Vec<u32> = other.words.words.iter().map(|word| self.words.id(word)).collect();
        let renumber = |id: u32| usize::try_from(id).ok().and_then(|id| ids.get(id)).copied().unwrap_or(id);
        for (call_id, mut response) in other.by_call {
            let told = &mut response.told;
            for id in [
                &mut told.session,
                &mut told.project,
                &mut told.agent,
                &mut told.model,
                &mut told.service_tier,
            ] {
                *id = renumber(*id);
            }
            if let Some(known) = self.by_call.get_mut(&call_id) {
                known.absorb(&response, &self.words);
            } else {
                self.by_call.insert(call_id, response);
            }
        }
    }
}
