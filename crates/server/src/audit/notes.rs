//! The details of a call, which its handlers note while it runs.
//!
//! Invariant: a note outside of a call has no effect, and a note of one call never reaches another.

use std::{cell::RefCell, rc::Rc};

use tokio::task_local;

use super::Details;

task_local! {
    static DETAILS: Rc<RefCell<Details>>;
}

/// Runs a call. Notes that it makes go to `details`.
pub(crate) async fn in_call<F: Future>(details: Rc<RefCell<Details>>, call: F) -> F::Output {
    DETAILS.scope(details, call).await
}

/// Notes details of the current call.
pub(crate) fn note(note: impl FnOnce(&mut Details)) {
    let _ = DETAILS.try_with(|details| note(&mut details.borrow_mut()));
}
