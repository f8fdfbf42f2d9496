//! The store: users and sealed external tokens in a database, behind `Store`.
//!
//! Invariant: no token, claim or retrieval key reaches the database in the clear. Every save is answered only after its
//! transaction was committed.

mod backend;
mod clock;
mod copies;
mod error;
mod expiry_limits;
mod figures;
mod files;
mod keys;
mod quotas;
mod read;
mod record_ids;
mod seal;
pub mod secret_file;
mod single_flight;
mod store;
mod tables;
mod unsaved;
mod write;

pub use crate::{
    backend::{database::Database, migrate::Migration},
    clock::Clock,
    copies::{
        backup::{backup, remove_unfinished, restore},
        copy::{Copied, copy},
        verify::{VerifyReport, verify},
    },
    error::{CopyError, KeyError, OpenError, Quota, StoreError},
    expiry_limits::{ExpiryLimits, ExpiryPolicy},
    figures::{Counter, Distributed, Distribution, Figures, ReceiverFigures},
    keys::{KekSources, KeySource, pkcs11::Module},
    quotas::Quotas,
    seal::{AuditKey, StateBinding, random},
    single_flight::SingleFlight,
    store::{
        Counts, FoundAnchor, GrantFacts, KekStatus, KeyCounts, Migrator, NewTokens, OpenOptions,
        Rekeyed, Rewrapped, Rotation, Store, TokenEnd, TokensToSave, UserChange, UserRemoval,
    },
    tables::{
        audit::AuditAnchor,
        credentials::FoundCredential,
        deliveries::{Delivery, OutboxOptions, PausedProvider, Subscription},
        external_tokens::{RecordTimes, SavedTokens},
        grants::{
            Grant, GrantCount, NewGrant,
            claim::{Attempt, Claim, Claimed},
            outcome::{Committed, Failure, RefreshTimes, Verdict},
            replace::Replaced,
        },
        provider_states::ProviderPause,
        records::{Listing, Page, Position, RecordInfo},
    },
    unsaved::count as count_unsaved,
};
