//! The only unsafe code of Goatherd: what Linux offers and no safe crate exposes the way we need it.
//!
//! Every function here is safe to call. It holds no policy: who is killed, and when, is decided elsewhere.
#![expect(unsafe_code, reason = "this crate is where unsafe code is kept")]

pub mod file;
pub mod namespace;
pub mod network;
pub mod process;
pub mod secrecy;
pub mod stream;
pub mod watch;
