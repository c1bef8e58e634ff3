//! SQLite's log beside the database, as a process left it that did not close the store. SQLite uses what is whole of
//! it and says nothing of the rest; this says it.
//!
//! Source: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The magic number's last bit says how the words of a checksum are written.
const MAGIC: u32 = 0x377f_0682;

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not there.
    Missing,
    /// From some point on it is not what was written: so many bytes are left out.
    Torn { bytes: u64 },
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str(
                "its log, goatherd.sqlite-wal, is not there: either this is a backup, or somebody removed the log, and \
                 with it what was written last; everything else is there",
            ),
            Self::Torn { bytes } => write!(
                formatter,
                "the last {bytes} bytes of its log, goatherd.sqlite-wal, are not whole and are left out: what was being \
                 written when the process or the power ended, for which nobody had an answer, or what the disk or \
                 another program did to it; everything before is there"
            ),
        }
    }
}

/// Looks at the log of a database; none where nothing is wrong with it.
pub(super) fn look(database: &Path) -> io::Result<Option<Flaw>> {
    let mut name = OsString::from(database);
    name.push("-wal");
    let file = match File::open(PathBuf::from(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Flaw::Missing)),
        file => file?,
    };
    let length = file.metadata()?.len();
    let whole = whole(BufReader::new(file))?;
    Ok(match whole {
        End::OfWhatWasWritten => None,
        End::Torn { at } => Some(Flaw::Torn {
            bytes: length.saturating_sub(at),
        }),
    })
}

/// Where what can be used of a log ends.
enum End {
    /// At its end, or where an older round of it begins, which was over before.
    OfWhatWasWritten,
    /// In the middle of what was written in this round.
    Torn { at: u64 },
}

fn whole(mut log: impl Read) -> io::Result<End> {
    let header = piece(&mut log, HEADER)?;
    if header.is_empty() {
        return Ok(End::OfWhatWasWritten);
    }
    let (magic, page) = (word(&header, 0), word(&header, 8));
    let order = match (magic & !1 == MAGIC, magic & 1) {
        (false, _) => return Ok(End::Torn { at: 0 }),
        (true, 0) => Order::Little,
        (true, _) => Order::Big,
    };
    let mut sum = Sum::default();
    sum.add(header.get(..24).unwrap_or_default(), order);
    if header.len() < HEADER || !sum.is(&header, 24) {
        return Ok(End::Torn { at: 0 });
    }
    let size = FRAME_HEADER + usize::try_from(page).map_err(io::Error::other)?;
    let mut at = u64::try_from(HEADER).map_err(io::Error::other)?;
    loop {
        let frame = piece(&mut log, size)?;
        let salts = frame.get(8..16);
        if frame.is_empty() || (salts.is_some() && salts != header.get(16..24)) {
            return Ok(End::OfWhatWasWritten);
        }
        sum.add(frame.get(..8).unwrap_or_default(), order);
        sum.add(frame.get(FRAME_HEADER..).unwrap_or_default(), order);
        if frame.len() < size || !sum.is(&frame, 16) {
            return Ok(End::Torn { at });
        }
        at = at.saturating_add(u64::try_from(size).map_err(io::Error::other)?);
    }
}

/// The next so many bytes, or as many as there are.
fn piece(log: &mut impl Read, size: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(size);
    let most = u64::try_from(size).map_err(io::Error::other)?;
    log.take(most).read_to_end(&mut piece)?;
    Ok(piece)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_be_bytes)
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// The running checksum of a log.
#[derive(Default)]
struct Sum(u32, u32);

impl Sum {
    fn add(&mut self, bytes: &[u8], order: Order) {
        let read = |word: &[u8]| {
            let word = word.try_into().unwrap_or_default();
            match order {
                Order::Little => u32::from_le_bytes(word),
                Order::Big => u32::from_be_bytes(word),
            }
        };
        for words in bytes.chunks_exact(8) {
            let (first, second) = words.split_at(4);
            self.0 = self.0.wrapping_add(read(first)).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(read(second)).wrapping_add(self.0);
        }
    }

    /// Whether it is the one that is written there.
    fn is(&self, bytes: &[u8], at: usize) -> bool {
        (self.0, self.1) == (word(bytes, at), word(bytes, at + 4))
    }
}
