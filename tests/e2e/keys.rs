//! The keys that seal records: master keys, data keys, and the format of sealed records.

mod hardware;
mod master_key;
mod rotation;
mod seal;
mod seal_proof;
mod wraps;
