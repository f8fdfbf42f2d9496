//! The binary `latchkey`.

use server::memory::{WIPING_ALLOCATOR, WipingAllocator};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WIPING_ALLOCATOR;

fn main() -> std::process::ExitCode {
    server::cli::main()
}
