//! The tests: one for each row of the tables, properties of random histories, and the model check.

mod adopting;
mod cancelling;
mod case;
mod causes;
mod choosing;
mod claiming;
mod closing;
mod commit_statuses;
mod killed;
mod leases;
mod model;
mod properties;
mod settling;
mod windows;
