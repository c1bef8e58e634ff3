//! The compiled `goatherd`, as people and scripts call it.

#![allow(clippy::unwrap_used)]

mod check;
mod command_line;
mod doctor;
mod program;
mod run;
