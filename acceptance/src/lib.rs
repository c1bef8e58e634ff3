//! Tests over the compiled binaries; all of it is under `tests/`.
