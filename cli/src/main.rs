//! The program `serinus`; see the library.

fn main() -> std::process::ExitCode {
    serinus_cli::run()
}
