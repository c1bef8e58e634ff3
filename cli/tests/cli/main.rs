//! The compiled `goatherd`, as people and scripts call it.

#![allow(clippy::unwrap_used)]

mod away;
mod check;
mod command_line;
mod doctor;
mod program;
mod run;
mod run_full;
mod run_home;
mod run_left;
mod run_odd;
mod run_options;
mod run_tree;
mod run_trees;
mod run_unread;
