//! The server as the tests run it: the same `main` as `latchkey`.

fn main() -> std::process::ExitCode {
    server::cli::main()
}
