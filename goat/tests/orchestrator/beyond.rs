//! What ours does better, row by row (G1 to G23). Each test asks first whether ours is under test.

mod calls;
mod children;
mod commands;
mod configuration;
mod figures;
mod haste;
mod health;
mod installation;
mod memory;
mod notice;
mod reasons;
mod secrecy;
mod signals;
mod size;
mod streams;
mod users;
