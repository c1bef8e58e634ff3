//! The compiled task agent against a runner API on a real socket.

mod endings;
mod harness;
mod logs;
mod secrets;
mod server;
mod steps;
mod stops;
