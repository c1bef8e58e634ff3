//! The commands, one a module.

pub(crate) mod agent;
pub(crate) mod artifact;
pub(crate) mod audit;
pub(crate) mod cancel;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod follow;
pub(crate) mod logs;
pub(crate) mod pipelines;
pub(crate) mod rerun;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod token;
pub(crate) mod webhook;
