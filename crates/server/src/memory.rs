//! Limits the time that secrets stay in memory, and keeps them out of core dumps.
//!
//! Invariant: freed memory is zeroed. Bodies, trees and answers are plain text in the hands of other crates. The
//! allocator wipes them, and every binary of the server has it.

use std::{alloc::System, io};

use zeroizing_alloc::ZeroAlloc;

/// The system's allocator, which zeroes freed memory.
pub type WipingAllocator = ZeroAlloc<System>;

/// The allocator for the binaries.
pub const WIPING_ALLOCATOR: WipingAllocator = ZeroAlloc(System);

/// Asks the system to write no core dump of the process, and to let only root inspect it.
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

/// On other systems, the operator has to prevent dumps.
#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_dumps() -> io::Result<()> {
    Ok(())
}
