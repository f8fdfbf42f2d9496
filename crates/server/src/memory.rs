//! What keeps secrets in memory no longer than they are used, and out of what is written of memory.
//!
//! Invariant: memory that was given back holds nothing. Bodies, trees and answers are plain text in the
//! hands of other crates; what wipes them is the allocator, which every binary of the server has.

use std::{alloc::System, io};

use zeroizing_alloc::ZeroAlloc;

/// The system's allocator, which wipes what is given back to it.
pub type WipingAllocator = ZeroAlloc<System>;

/// The one that binaries take.
pub const WIPING_ALLOCATOR: WipingAllocator = ZeroAlloc(System);

/// Asks the system to write no core dump of the process, and to let nobody but root look into it.
///
/// # Errors
/// The system refuses.
#[cfg(target_os = "linux")]
pub(crate) fn refuse_dumps() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(limited?)
}

/// Elsewhere it is for whoever starts the server to see to.
#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_dumps() -> io::Result<()> {
    Ok(())
}
