//! The tables, as every backend has them.
//!
//! Invariant: only types that SQLite and PostgreSQL share, so that one set of queries serves both.

diesel::table! {
    users (tenant, login) {
        tenant -> Text,
        login -> Text,
        password_hash -> Text,
        is_administrator -> Bool,
        is_disabled -> Bool,
        created -> BigInt,
        updated -> BigInt,
    }
}

diesel::table! {
    keks (id) {
        id -> Text,
        sentinel -> Binary,
        created -> BigInt,
    }
}

diesel::table! {
    external_tokens (id) {
        id -> BigInt,
        tenant -> Text,
        owner -> Text,
        provider -> Text,
        generation -> Integer,
        key_digest -> Binary,
        kek_id -> Text,
        wrapped_dek -> Binary,
        sealed -> Binary,
        created -> BigInt,
        updated -> BigInt,
    }
}
