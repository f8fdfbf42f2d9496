//! The store: users and sealed external tokens in a database, behind `Store`.
//!
//! Invariant: no token, claim or retrieval key reaches the database in the clear, and a save is
//! answered only after its transaction was committed.

mod backend;
mod copies;
mod error;
mod files;
mod ids;
mod keys;
mod lifespan;
mod quotas;
mod read;
mod seal;
pub mod secret_file;
mod single_flight;
mod store;
mod tables;
mod write;

pub use crate::backend::migrate;
pub use crate::{
    backend::database::Database,
    copies::{
        backup::{backup, restore},
        copy::{Copied, copy},
        verify::{Proof, verify},
    },
    error::{CopyError, KeyError, OpenError, StoreError},
    keys::{KeySource, Keys, pkcs11::Module},
    lifespan::{Lifespan, Lifespans},
    quotas::{Quota, Quotas},
    read::uses::Life,
    single_flight::SingleFlight,
    store::{MasterKey, OpenOptions, Rewrapped, Rotation, Store},
    tables::{
        credentials::FoundCredential,
        external_tokens::SavedTokens,
        records::{Listing, Page, Position, RecordInfo},
    },
};
