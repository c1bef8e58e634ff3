//! The `orchestrator` that ships, wherever it has to run: as PID 1 of a namespace and as a plain child, with a file
//! system that holds nothing but the binaries, that cannot be written to, and without any privilege.

#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

mod containers;
mod namespaces;
mod task;
