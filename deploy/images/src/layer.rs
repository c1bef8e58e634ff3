//! A layer: one file, packed so that the same bytes come out each time.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use oci_spec::image::MediaType;

use crate::blob::{self, Blob};

/// `OS` of gzip's header, RFC 1952: unknown. Others would tell which machine packed it.
const NO_SYSTEM: u8 = 255;

/// A layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Where its file lies in the image, such as `/orchestrator`.
    pub(crate) path: String,
    /// Packed, as layouts and registries have it.
    pub(crate) blob: Blob,
    /// Unpacked, as a docker-archive has it.
    pub(crate) tar: Vec<u8>,
    /// The SHA-256 of `tar`: the digits alone.
    pub(crate) hex: String,
}

impl Layer {
    /// A layer that holds the program `name` in the root folder: root's, executable by all, of this time (seconds
    /// since 1970).
    pub(crate) fn of_program(name: &str, program: &[u8], time: u64) -> anyhow::Result<Self> {
        let tar = pack(name, program, Mode::Program, time)?;
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .operating_system(NO_SYSTEM)
            .write(Vec::new(), Compression::best());
        gzip.write_all(&tar)?;
        Ok(Self {
            path: format!("/{name}"),
            blob: Blob::new(MediaType::ImageLayerGzip, gzip.finish()?)?,
            hex: blob::sha256_hex(&tar),
            tar,
        })
    }

    /// The digest of the unpacked layer, by which a config names it.
    pub(crate) fn diff_id(&self) -> String {
        format!("sha256:{}", self.hex)
    }
}

/// Who may do what with a file of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Read and execute.
    Program,
    /// Read.
    Plain,
}

/// An archive with one file.
fn pack(name: &str, bytes: &[u8], mode: Mode, time: u64) -> anyhow::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, name, bytes, mode, time)?;
    Ok(tar.into_inner()?)
}

/// Adds a file, with nothing in its header that depends on who packs it.
pub(crate) fn append(
    tar: &mut tar::Builder<impl std::io::Write>,
    name: &str,
    bytes: &[u8],
    mode: Mode,
    time: u64,
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(u64::try_from(bytes.len())?);
    header.set_mode(match mode {
        Mode::Program => 0o755,
        Mode::Plain => 0o644,
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    tar.append_data(&mut header, name, bytes)?;
    Ok(())
}
