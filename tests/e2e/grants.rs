//! Grants: codes that are exchanged and tokens that are refreshed, against a provider that misbehaves.

mod mock;
