//! A file of the spool: written at its end, read from its start, removed from its folder as soon as it is made.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use api::runner::task::{Bytes, Chunk, Content, Stream};

use super::wide;

/// A file takes no more once it is this long, so that what was read frees its disk soon.
const LONG: u64 = 8 << 20;
/// Number, step, stream, kind, time, length.
const HEADER: usize = 8 + 4 + 1 + 1 + 8 + 8;

/// A file of chunks.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    written: u64,
    read: u64,
    /// The number that is read next, and the one that is written next.
    next: Option<u64>,
    end: u64,
    /// Chunks that could not be written: what they say instead.
    noted: BTreeMap<u64, Chunk>,
}

impl Segment {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join("spool");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self {
            file,
            written: 0,
            read: 0,
            next: None,
            end: 0,
            noted: BTreeMap::new(),
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.written
    }

    pub(super) fn is_full(&self) -> bool {
        self.written >= LONG
    }

    /// Appends a chunk. After an error the file is as it was before.
    pub(super) fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        let (kind, length, bytes) = match &chunk.content {
            Content::Bytes(Bytes(bytes)) => (0, wide(bytes.len()), bytes.as_slice()),
            Content::Lost(lost) => (1, *lost, &[][..]),
        };
        let mut record = Vec::with_capacity(HEADER + bytes.len());
        record.extend_from_slice(&chunk.sequence.to_le_bytes());
        record.extend_from_slice(&chunk.step.to_le_bytes());
        record.push(stream_number(chunk.stream));
        record.push(kind);
        record.extend_from_slice(&chunk.time.to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(bytes);
        self.file.write_all_at(&record, self.written)?;
        self.written += wide(record.len());
        self.passed(chunk.sequence);
        Ok(())
    }

    /// Keeps a chunk beside the file.
    pub(super) fn note(&mut self, chunk: Chunk) {
        self.passed(chunk.sequence);
        self.noted.insert(chunk.sequence, chunk);
    }

    fn passed(&mut self, sequence: u64) {
        self.next.get_or_insert(sequence);
        self.end = sequence + 1;
    }

    /// Takes the next chunk; none at the end.
    pub(super) fn read(&mut self) -> Option<Chunk> {
        let next = self.next.filter(|next| *next < self.end)?;
        self.next = Some(next + 1);
        if let Some(chunk) = self.noted.remove(&next) {
            return Some(chunk);
        }
        match self.read_record() {
            Ok(chunk) if chunk.sequence == next => Some(chunk),
            // A disk that fails: the number has to be filled all the same.
            _ => Some(Chunk {
                step: 0,
                sequence: next,
                stream: Stream::System,
                time: 0,
                content: Content::Lost(0),
            }),
        }
    }

    fn read_record(&mut self) -> io::Result<Chunk> {
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, self.read)?;
        let mut fields = Fields(&header);
        let sequence = u64::from_le_bytes(fields.take()?);
        let step = u32::from_le_bytes(fields.take()?);
        let [stream, kind] = fields.take()?;
        let time = i64::from_le_bytes(fields.take()?);
        let length = u64::from_le_bytes(fields.take()?);
        let mut end = self.read + wide(HEADER);
        let content = if kind == 0 {
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut bytes, end)?;
            end += length;
            Content::Bytes(Bytes(bytes))
        } else {
            Content::Lost(length)
        };
        self.read = end;
        Ok(Chunk {
            step,
            sequence,
            stream: stream_of(stream),
            time,
            content,
        })
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(*field)
    }
}

const fn stream_number(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
        Stream::System => 3,
    }
}

const fn stream_of(number: u8) -> Stream {
    match number {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => Stream::System,
    }
}
