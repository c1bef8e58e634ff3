//! The spool: output that is not acknowledged yet.
//!
//! Chunks get their numbers here, one sequence per attempt, and stay until the server says that they are
//! stored. They are kept in memory, then in files without a name (so nothing of the task can touch them). When
//! both are full, the step that writes waits a while, and then its output is counted as lost instead of kept:
//! a server that is away for hours neither fills the disk nor stops a step for ever. A `lost` chunk says so in
//! its place.

mod segment;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use api::runner::task::{Bytes, Chunk, Content, Stream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock;
use segment::Segment;

/// What a chunk costs beside its bytes.
const OVERHEAD: usize = 64;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes in memory.
    pub(crate) memory: usize,
    /// Bytes in files.
    pub(crate) disk: u64,
    /// How long a writer waits for room.
    pub(crate) patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 20,
            disk: 256 << 20,
            patience: Duration::from_secs(10),
        }
    }
}

/// A piece of output that has no number yet.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// The step's number.
    pub(crate) step: u32,
    /// Where it came from.
    pub(crate) stream: Stream,
    /// Milliseconds since the epoch.
    pub(crate) time: i64,
    /// What was written, masked.
    pub(crate) bytes: Vec<u8>,
}

/// The spool.
#[derive(Debug)]
pub(crate) struct Spool {
    inner: Mutex<Inner>,
    filled: Notify,
    freed: Notify,
}

#[derive(Debug)]
struct Inner {
    limits: Limits,
    folder: PathBuf,
    next: u64,
    /// Every step below this one may be sent.
    allowed: u32,
    /// The oldest chunks.
    front: VecDeque<Chunk>,
    front_bytes: usize,
    /// What comes after them.
    segments: VecDeque<Segment>,
    /// What could not be kept since the last chunk, by step and stream.
    lost: Vec<(u32, Stream, i64, u64)>,
}

impl Spool {
    /// A spool whose first chunk follows the number `stored`, and whose files are made in `folder`.
    pub(crate) fn new(folder: PathBuf, stored: u64, limits: Limits) -> Self {
        Self {
            inner: Mutex::new(Inner {
                limits,
                folder,
                next: stored + 1,
                allowed: 0,
                front: VecDeque::new(),
                front_bytes: 0,
                segments: VecDeque::new(),
                lost: Vec::new(),
            }),
            filled: Notify::new(),
            freed: Notify::new(),
        }
    }

    /// Changes how long a writer waits for room, also for one that waits already.
    pub(crate) fn set_patience(&self, patience: Duration) {
        lock(&self.inner).limits.patience = patience;
    }

    /// Keeps a piece. Waits for room if there is none, but never longer than the limits' patience, and not at
    /// all while output is being lost anyway.
    pub(crate) async fn append(&self, piece: Piece) {
        let began = Instant::now();
        let mut piece = piece;
        loop {
            // Before the look, so that room that is made in between is not missed.
            let freed = self.freed.notified();
            let deadline = began + lock(&self.inner).limits.patience;
            match lock(&self.inner).take(piece, Instant::now() >= deadline) {
                Some(waiting) => piece = waiting,
                None => break,
            }
            // Late or not: it is looked at once more.
            let _ = tokio::time::timeout_at(deadline, freed).await;
        }
        self.filled.notify_one();
    }

    /// Lets the output of a step, and of those before it, be sent: the server knows that it began. People read
    /// a beginning before what came of it.
    pub(crate) fn allow(&self, step: u32) {
        {
            let mut inner = lock(&self.inner);
            inner.allowed = inner.allowed.max(step.saturating_add(1));
        }
        self.filled.notify_one();
    }

    /// Lets everything be sent: no step begins any more.
    pub(crate) fn allow_all(&self) {
        self.allow(u32::MAX);
    }

    /// The number of the newest chunk; 0 for none.
    pub(crate) fn newest(&self) -> u64 {
        lock(&self.inner).next - 1
    }

    /// The oldest chunks that may be sent, up to about `most` bytes, at least one if there is any.
    pub(crate) fn batch(&self, most: usize) -> Vec<Chunk> {
        let inner = lock(&self.inner);
        let mut bytes = 0;
        inner
            .front
            .iter()
            .take_while(|chunk| chunk.step < inner.allowed)
            .take_while(|chunk| {
                let first = bytes == 0;
                bytes += size_of(chunk);
                first || bytes <= most
            })
            .cloned()
            .collect()
    }

    /// The server has everything up to this number.
    pub(crate) fn stored(&self, number: u64) {
        lock(&self.inner).forget(number);
        self.freed.notify_waiters();
    }

    /// The server misses this number, which it said it had. Its bytes are gone, so their place is filled.
    pub(crate) fn fill_gap(&self, number: u64) {
        let mut inner = lock(&self.inner);
        let end = inner.oldest();
        for sequence in (number..end).rev() {
            inner.push_front(Chunk {
                step: 0,
                sequence,
                stream: Stream::System,
                time: 0,
                content: Content::Lost(0),
            });
        }
        drop(inner);
        self.filled.notify_one();
    }

    /// No more output comes: what was lost at the end gets its chunks. Answers the last number; 0 for none.
    pub(crate) fn close(&self) -> u64 {
        let last = {
            let mut inner = lock(&self.inner);
            inner.tell_losses();
            inner.next - 1
        };
        self.filled.notify_one();
        last
    }

    /// Waits until there may be something to send.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until everything is stored.
    pub(crate) async fn emptied(&self) {
        self.once(Inner::is_empty).await;
    }

    /// Waits until everything up to this number is stored.
    pub(crate) async fn stored_to(&self, number: u64) {
        self.once(|inner| inner.oldest() > number).await;
    }

    async fn once(&self, holds: impl Fn(&Inner) -> bool) {
        loop {
            let freed = self.freed.notified();
            if holds(&lock(&self.inner)) {
                return;
            }
            freed.await;
        }
    }
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.front.is_empty() && self.segments.is_empty()
    }

    /// The number of the oldest chunk that is not stored, or the next one.
    fn oldest(&self) -> u64 {
        self.front.front().map_or(self.next, |chunk| chunk.sequence)
    }

    fn fits(&self, length: usize) -> bool {
        let cost = length + OVERHEAD;
        self.fits_in_memory(cost) || self.disk_bytes() + wide(cost) <= self.limits.disk
    }

    fn fits_in_memory(&self, cost: usize) -> bool {
        self.segments.is_empty() && self.front_bytes + cost <= self.limits.memory
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// Keeps a piece, or counts it as lost, or gives it back because it should wait.
    fn take(&mut self, piece: Piece, late: bool) -> Option<Piece> {
        if self.fits(piece.bytes.len()) {
            self.keep(piece);
        } else if late || !self.lost.is_empty() {
            self.lose(&piece);
        } else {
            return Some(piece);
        }
        None
    }

    fn keep(&mut self, piece: Piece) {
        self.tell_losses();
        let content = Content::Bytes(Bytes(piece.bytes));
        self.number(piece.step, piece.stream, piece.time, content);
    }

    fn lose(&mut self, piece: &Piece) {
        let bytes = wide(piece.bytes.len());
        let known = self
            .lost
            .iter_mut()
            .find(|(step, stream, ..)| (*step, *stream) == (piece.step, piece.stream));
        match known {
            Some((.., sum)) => *sum += bytes,
            None => {
                tracing::warn!(step = piece.step, "the spool is full: output is lost");
                self.lost.push((piece.step, piece.stream, piece.time, bytes));
            }
        }
    }

    fn tell_losses(&mut self) {
        for (step, stream, time, bytes) in std::mem::take(&mut self.lost) {
            self.number(step, stream, time, Content::Lost(bytes));
        }
    }

    /// Gives a chunk its number and puts it at the end.
    fn number(&mut self, step: u32, stream: Stream, time: i64, content: Content) {
        let chunk = Chunk {
            step,
            sequence: self.next,
            stream,
            time,
            content,
        };
        self.next += 1;
        if self.fits_in_memory(size_of(&chunk)) {
            self.push_back(chunk);
        } else if let Err(error) = self.write(&chunk) {
            // The number is given, so the chunk has to be there: it says what is lost.
            tracing::warn!(%error, "the spool cannot be written: output is lost");
            let lost = match chunk.content {
                Content::Bytes(Bytes(bytes)) => wide(bytes.len()),
                Content::Lost(bytes) => bytes,
            };
            let chunk = Chunk {
                content: Content::Lost(lost),
                ..chunk
            };
            match self.segments.back_mut() {
                Some(segment) => segment.note(chunk),
                None => self.push_back(chunk),
            }
        }
        if self.front.is_empty() {
            self.refill();
        }
    }

    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        if self.segments.back().is_none_or(Segment::is_full) {
            self.segments.push_back(Segment::create(&self.folder)?);
        }
        match self.segments.back_mut() {
            Some(segment) => segment.write(chunk),
            None => Err(io::Error::other("there is no segment")),
        }
    }

    fn push_back(&mut self, chunk: Chunk) {
        self.front_bytes += size_of(&chunk);
        self.front.push_back(chunk);
    }

    fn push_front(&mut self, chunk: Chunk) {
        self.front_bytes += size_of(&chunk);
        self.front.push_front(chunk);
    }

    fn forget(&mut self, number: u64) {
        while self.front.front().is_some_and(|chunk| chunk.sequence <= number) {
            if let Some(chunk) = self.front.pop_front() {
                self.front_bytes -= size_of(&chunk);
            }
            self.refill();
        }
    }

    /// Reads back what comes next, once half of the memory is free.
    fn refill(&mut self) {
        while self.front_bytes <= self.limits.memory / 2 {
            let Some(segment) = self.segments.front_mut() else {
                return;
            };
            match segment.read() {
                Some(chunk) => self.push_back(chunk),
                None => drop(self.segments.pop_front()),
            }
        }
    }
}

fn size_of(chunk: &Chunk) -> usize {
    OVERHEAD
        + match &chunk.content {
            Content::Bytes(Bytes(bytes)) => bytes.len(),
            Content::Lost(_) => 0,
        }
}

/// A length as the wire has it.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
