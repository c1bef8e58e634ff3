//! `goatherd sandbox` alone under a filter that refuses namespaces, for the tests of places without them.

use std::process::ExitCode;

fn main() -> ExitCode {
    sys::namespace::filter::refuse_namespaces().expect("a filter can be set");
    // The program's own name, and the word `sandbox`.
    driver::local::sandbox::main(std::env::args_os().skip(2))
}
