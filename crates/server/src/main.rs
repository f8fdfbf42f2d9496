//! The binary `latchkey`.

fn main() -> std::process::ExitCode {
    server::cli::main()
}
