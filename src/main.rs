use std::process::ExitCode;

fn main() -> ExitCode {
    hoist::cli::main().into()
}
