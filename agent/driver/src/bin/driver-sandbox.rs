//! `goatherd sandbox` alone, so that the driver can be tested without the command line's crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The program's own name, and the word `sandbox`.
    driver::local::sandbox::main(std::env::args_os().skip(2))
}
