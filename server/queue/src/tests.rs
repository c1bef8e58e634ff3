//! The tests: one for each row of the tables, properties of random histories, and the model check.

mod model;
