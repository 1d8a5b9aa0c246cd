//! The `douse` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(douse::cli::main()),
        Err(error) => {
            douse::cli::output::note(&format!("error: the runtime cannot be started: {error}"));
            ExitCode::FAILURE
        }
    }
}
