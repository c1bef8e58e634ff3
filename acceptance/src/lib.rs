//! Tests over the compiled binaries, all of them under `tests/`, and what several of these share.

pub mod desk;
