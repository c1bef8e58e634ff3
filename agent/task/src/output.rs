//! Output on its way from the steps' pipes into the spool: masked, cut into chunks, and never waited for
//! longer than a step deserves.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::runner::task::Stream;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::lock;
use crate::mask::{Masker, Masks};
use crate::spool::{Piece, Spool};

/// The most in one chunk.
const CHUNK: usize = 64 * 1024;
/// The longest that a byte waits for company.
const COLLECT: Duration = Duration::from_millis(100);
/// How long the end of a pipe is waited for once its step's shell has ended. A process that the step left
/// behind may keep it open.
const SETTLE: Duration = Duration::from_millis(100);
/// The most that a pipe can hold (`/proc/sys/fs/pipe-max-size`), and so what is read after the end.
const PIPE: usize = 1024 * 1024;
/// How much of the end of a stream is kept for a message.
const TAIL: usize = 4096;

/// Where the output of one task goes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    spool: Arc<Spool>,
    masks: Masks,
    pumps: Arc<Mutex<JoinSet<()>>>,
    closing: Arc<watch::Sender<bool>>,
}

impl Output {
    pub(crate) fn new(spool: Arc<Spool>, masks: Masks) -> Self {
        Self {
            spool,
            masks,
            pumps: Arc::new(Mutex::new(JoinSet::new())),
            closing: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Masks a text.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.masks.text(text)
    }

    /// Says something of our own under a step.
    pub(crate) async fn say(&self, step: u32, text: &str) {
        let bytes = self.masks.text(text).into_bytes();
        send(&self.spool, step, Stream::System, bytes).await;
    }

    /// Pumps a pipe into the spool, until its end or the task's.
    pub(crate) fn pump(
        &self,
        step: u32,
        stream: Stream,
        pipe: OwnedFd,
        heard: Arc<Heard>,
    ) -> io::Result<Pump> {
        let direct = File::from(pipe.try_clone()?);
        let (settle, settles) = mpsc::channel(1);
        let tail = Arc::new(Mutex::new(Vec::new()));
        let work = Work {
            pipe: pipe::Receiver::from_owned_fd(pipe)?,
            direct,
            settles,
            closing: self.closing.subscribe(),
            spool: Arc::clone(&self.spool),
            step,
            stream,
            masker: self.masks.masker(),
            buffer: Vec::new(),
            heard,
            tail: Arc::clone(&tail),
        };
        lock(&self.pumps).spawn(work.run());
        Ok(Pump { settle, tail })
    }

    /// Ends all pumps: what their pipes hold is still read.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        let mut pumps = std::mem::take(&mut *lock(&self.pumps));
        while let Some(ended) = pumps.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the output was not collected");
            }
        }
    }
}

/// When a step was heard last.
#[derive(Debug)]
pub(crate) struct Heard {
    start: Instant,
    milliseconds: AtomicU64,
}

impl Heard {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            milliseconds: AtomicU64::new(0),
        })
    }

    fn note(&self) {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.milliseconds.store(since, Ordering::Relaxed);
    }

    /// Waits until nothing was heard for `limit`.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.milliseconds.load(Ordering::Relaxed));
            let deadline = self.start + last + limit;
            if Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

/// A pipe that is being pumped.
#[derive(Debug)]
pub(crate) struct Pump {
    settle: mpsc::Sender<oneshot::Sender<()>>,
    tail: Arc<Mutex<Vec<u8>>>,
}

impl Pump {
    /// Everything that was written until now is in the spool after this. A pipe that something still holds is
    /// pumped on.
    pub(crate) async fn settle(&self) {
        if tokio::time::timeout(SETTLE, self.settle.closed()).await.is_ok() {
            return;
        }
        let (done, settled) = oneshot::channel();
        // An error means that the pump has ended by itself.
        if self.settle.send(done).await.is_ok() {
            let _ = settled.await;
        }
    }

    /// The end of what came, masked.
    pub(crate) fn tail(&self) -> String {
        String::from_utf8_lossy(&lock(&self.tail)).into_owned()
    }
}

/// One pump.
struct Work {
    /// Makes the pipe non-blocking, for `direct` too.
    pipe: pipe::Receiver,
    /// The same pipe, for what is in it when the shell ends: that must be read whether the reactor has heard of
    /// it yet or not.
    direct: File,
    settles: mpsc::Receiver<oneshot::Sender<()>>,
    closing: watch::Receiver<bool>,
    spool: Arc<Spool>,
    step: u32,
    stream: Stream,
    masker: Masker,
    buffer: Vec<u8>,
    heard: Arc<Heard>,
    tail: Arc<Mutex<Vec<u8>>>,
}

/// What a read met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Bytes(usize),
    Nothing,
    End,
}

impl Work {
    async fn run(mut self) {
        let mut flush_at = None;
        loop {
            tokio::select! {
                biased;
                () = closed(&mut self.closing) => {
                    self.drain().await;
                    break;
                }
                Some(done) = self.settles.recv() => {
                    let met = self.drain().await;
                    self.flush(Part::All).await;
                    flush_at = None;
                    let _ = done.send(());
                    if met == Met::End {
                        break;
                    }
                }
                () = sleep_until(flush_at) => {
                    self.flush(Part::WholeCharacters).await;
                    flush_at = None;
                }
                ready = self.pipe.readable() => {
                    if ready.is_err() || self.read(|pipe, _, bytes| pipe.try_read(bytes)) == Met::End {
                        break;
                    }
                    if self.buffer.len() >= CHUNK {
                        self.flush(Part::FullChunks).await;
                        flush_at = None;
                    }
                    if !self.buffer.is_empty() {
                        flush_at.get_or_insert_with(|| Instant::now() + COLLECT);
                    }
                }
            }
        }
        self.masker.finish(&mut self.buffer);
        self.flush(Part::All).await;
    }

    /// Reads what is in the pipe now.
    async fn drain(&mut self) -> Met {
        let mut sum = 0;
        loop {
            match self.read(|_, mut direct, bytes| direct.read(bytes)) {
                Met::Bytes(count) if sum + count < PIPE => sum += count,
                met => return met,
            }
            self.flush(Part::FullChunks).await;
        }
    }

    /// Reads once, without waiting.
    fn read(&mut self, read: impl FnOnce(&pipe::Receiver, &File, &mut [u8]) -> io::Result<usize>) -> Met {
        let mut bytes = [0; 16 * 1024];
        match read(&self.pipe, &self.direct, &mut bytes) {
            Ok(0) => Met::End,
            Ok(count) => {
                self.heard.note();
                let bytes = bytes.get(..count).unwrap_or_default();
                self.masker.feed(bytes, &mut self.buffer);
                Met::Bytes(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Met::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Met::Bytes(0),
            Err(error) => {
                tracing::warn!(%error, "a step's output could not be read");
                Met::End
            }
        }
    }

    async fn flush(&mut self, part: Part) {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let length = chunk_length(&buffer, part);
            if length == 0 {
                break;
            }
            let rest = buffer.split_off(length);
            keep_tail(&mut lock(&self.tail), &buffer);
            send(&self.spool, self.step, self.stream, buffer).await;
            // The step could not write while we waited for room, and that is no silence of its own.
            self.heard.note();
            buffer = rest;
        }
        self.buffer = buffer;
    }
}

/// What of the buffer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What fills chunks.
    FullChunks,
    /// All but the beginning of a character at the end, whose rest is on its way.
    WholeCharacters,
    /// All: nothing more comes, or somebody waits for it.
    All,
}

/// How much of the buffer goes into the next chunk. Chunks end between characters where the output is UTF-8:
/// each is shown by itself, and half a character could not be.
fn chunk_length(buffer: &[u8], part: Part) -> usize {
    let whole = |bytes: &[u8]| bytes.len() - begun_character(bytes);
    match (buffer.get(..CHUNK), part) {
        (Some(full), _) => whole(full),
        (None, Part::FullChunks) => 0,
        (None, Part::WholeCharacters) => whole(buffer),
        (None, Part::All) => buffer.len(),
    }
}

/// How many bytes at the end are the beginning of a UTF-8 character that is not there in full.
fn begun_character(bytes: &[u8]) -> usize {
    let at_end = bytes.iter().rev().zip(1..4);
    for (byte, count) in at_end {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 0,
        };
        return if count < length { count } else { 0 };
    }
    0
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that the output itself is gone, which is an end too.
    let _ = closing.wait_for(|closing| *closing).await.map(drop);
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn send(spool: &Spool, step: u32, stream: Stream, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        let time = now_milliseconds();
        spool
            .append(Piece {
                step,
                stream,
                time,
                bytes,
            })
            .await;
    }
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(bytes);
    let surplus = tail.len().saturating_sub(TAIL);
    tail.drain(..surplus);
}

/// Milliseconds since the epoch, for display.
pub(crate) fn now_milliseconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Limits;
    use api::runner::task::{Bytes, Content};
    use proptest::prelude::*;
    use std::io::Write as _;

    fn pumped(pieces: Vec<Vec<u8>>) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let spool = Arc::new(Spool::new(folder.path().to_owned(), 0, Limits::default()));
            spool.allow_all();
            let output = Output::new(Arc::clone(&spool), Masks::new(["hunter2hunter2"]));
            let (reader, mut writer) = io::pipe().expect("a pipe");
            let pump = output
                .pump(0, Stream::Stdout, reader.into(), Heard::new())
                .expect("a pump");
            let thread = std::thread::spawn(move || {
                for piece in pieces {
                    writer.write_all(&piece).expect("written");
                }
            });
            pump.settle.closed().await;
            output.close().await;
            thread.join().expect("no panic");
            let mut all = Vec::new();
            for chunk in spool.batch(usize::MAX) {
                let Content::Bytes(Bytes(bytes)) = chunk.content else {
                    panic!("nothing is lost")
                };
                assert!(bytes.len() <= CHUNK);
                all.extend(bytes);
            }
            all
        })
    }

    #[test]
    fn a_pipe_that_stays_open_does_not_hold_the_step() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let spool = Arc::new(Spool::new(folder.path().to_owned(), 0, Limits::default()));
            spool.allow_all();
            let output = Output::new(Arc::clone(&spool), Masks::new([]));
            let (reader, mut writer) = io::pipe().expect("a pipe");
            writer.write_all(b"last words").expect("written");
            let pump = output
                .pump(0, Stream::Stdout, reader.into(), Heard::new())
                .expect("a pump");

            pump.settle().await;

            assert_eq!(pump.tail(), "last words");
            writer.write_all(b", and more").expect("written");
            output.close().await;
            assert_eq!(pump.tail(), "last words, and more");
        });
    }

    #[test]
    fn the_beginning_of_a_character_waits_for_its_rest() {
        for (text, begun) in [
            (&b""[..], 0),
            (b"plain", 0),
            (b"caf\xc3", 1),
            (b"caf\xc3\xa9", 0),
            (b"\xe2\x82", 2),
            (b"\xe2\x82\xac", 0),
            (b"\xf0\x9f\x90", 3),
            (b"\xf0\x9f\x90\x90", 0),
            (b"\x80\x80\x80\x80", 0),
            (b"\xff", 0),
        ] {
            assert_eq!(begun_character(text), begun, "{text:?}");
        }
        assert_eq!(chunk_length(b"caf\xc3", Part::WholeCharacters), 3);
        assert_eq!(chunk_length(b"caf\xc3", Part::All), 4);
        assert_eq!(chunk_length(b"caf\xc3", Part::FullChunks), 0);
    }

    #[test]
    fn chunks_of_text_end_between_characters() {
        // Three bytes each, so that no chunk of full length would end after one.
        let text = "\u{20ac}".repeat(CHUNK);

        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(chunk_length(rest, Part::All));

            assert!(std::str::from_utf8(chunk).is_ok() && chunk.len() <= CHUNK);
            rest = after;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn whatever_is_written_arrives_in_order_and_in_chunks_that_are_not_too_long(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50_000), 0..6),
        ) {
            prop_assert_eq!(pumped(pieces.clone()), pieces.concat());
        }
    }
}
