//! The command `amlp-run`; everything it does is in the library.

fn main() -> std::process::ExitCode {
    amlp_run::cli::main(std::env::args_os())
}
