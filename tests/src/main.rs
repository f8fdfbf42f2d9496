//! The server as the tests run it: the same `main` as `latchkey`.

use server::memory::{WIPING_ALLOCATOR, WipingAllocator};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WIPING_ALLOCATOR;

fn main() -> std::process::ExitCode {
    server::cli::main()
}
