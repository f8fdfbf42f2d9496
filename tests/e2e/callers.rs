//! The caller: each authentication scheme, its limits, and the permissions of a caller.

mod applications;
mod basic;
mod bearer;
mod credential_places;
mod guessing;
mod matrix;
mod principal;
mod sessions;
mod so_ticket;
mod throttling;
