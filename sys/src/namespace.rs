//! What a sandbox of namespaces is made with: a child in namespaces of its own, mounts by descriptor, no
//! capabilities, and a clean start for the program that runs in it.
//!
//! Each function is one act; the order of them is the sandbox's business. Linux 5.12 or newer.

pub mod capabilities;
pub mod child;
pub mod filter;
pub mod inheritance;
pub mod mounts;

use std::io;

/// Reads a system call's return value.
fn checked(returned: libc::c_long) -> io::Result<libc::c_long> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}
