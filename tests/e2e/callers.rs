//! Who is calling: each scheme of authentication, its limits, and what a caller may do.

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
