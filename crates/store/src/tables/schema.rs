//! The tables, as every backend has them.
//!
//! Invariant: every column has a type that SQLite and PostgreSQL share, so that one set of queries serves both.

diesel::table! {
    users (tenant, login) {
        tenant -> Text,
        login -> Text,
        password_hash -> Text,
        is_administrator -> Bool,
        is_disabled -> Bool,
        created -> BigInt,
        updated -> BigInt,
        version -> BigInt,
        tenant_name -> Nullable<Text>,
    }
}

diesel::table! {
    credentials (id) {
        id -> Text,
        kind -> Text,
        digest -> Binary,
        tenant -> Text,
        login -> Text,
        user_version -> BigInt,
        created -> BigInt,
        expires -> BigInt,
        parent -> Nullable<Text>,
        application -> Nullable<Text>,
    }
}

diesel::table! {
    applications (name) {
        name -> Text,
        token_digest -> Binary,
        tenants -> Text,
        is_disabled -> Bool,
        created -> BigInt,
        updated -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(credentials, users);

diesel::table! {
    keks (id) {
        id -> Text,
        sentinel -> Binary,
        created -> BigInt,
        source -> Text,
        sealed -> Nullable<Binary>,
        wraps -> BigInt,
    }
}

diesel::table! {
    servers (id) {
        id -> Text,
        name -> Text,
        seen -> BigInt,
        keks -> Text,
    }
}

diesel::table! {
    retired_keks (id) {
        id -> Text,
        retired -> BigInt,
    }
}

diesel::table! {
    idempotency_keys (digest) {
        digest -> Binary,
        fingerprint -> Binary,
        sealed_key -> Binary,
        expires -> BigInt,
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
        last_used -> Nullable<BigInt>,
        expires -> Nullable<BigInt>,
        ended -> Nullable<BigInt>,
        access_expires -> Nullable<BigInt>,
    }
}

diesel::table! {
    grants (record) {
        record -> BigInt,
        client_digest -> Binary,
        state -> Text,
        since -> BigInt,
        cause -> Nullable<Text>,
        failures -> Integer,
        retry_at -> Nullable<BigInt>,
        refreshed -> Nullable<BigInt>,
        refresh_by -> Nullable<BigInt>,
        attempt -> BigInt,
        claimed -> BigInt,
        first_sent -> Nullable<BigInt>,
        won_by -> Nullable<BigInt>,
        lease_by -> Nullable<Text>,
        lease_until -> Nullable<BigInt>,
        reported -> Integer,
    }
}

diesel::allow_tables_to_appear_in_same_query!(external_tokens, grants);

diesel::table! {
    provider_states (client_digest) {
        client_digest -> Binary,
        cause -> Text,
        since -> BigInt,
        retry_at -> BigInt,
    }
}

diesel::table! {
    deliveries (receiver, subject, position) {
        receiver -> Text,
        subject -> Text,
        position -> BigInt,
        event -> Text,
        kind -> Text,
        tenant -> Nullable<Text>,
        owner -> Nullable<Text>,
        provider -> Text,
        cause -> Nullable<Text>,
        refresh_by -> Nullable<BigInt>,
        occurred -> BigInt,
        attempts -> Integer,
        due -> BigInt,
    }
}

diesel::table! {
    exchanges (digest) {
        digest -> Binary,
        began -> BigInt,
    }
}

diesel::table! {
    grants_paused (reason) {
        reason -> Text,
        since -> BigInt,
    }
}

diesel::table! {
    audit_anchors (chain) {
        chain -> Text,
        sequence -> BigInt,
        mac -> Binary,
        kek_id -> Text,
        anchored -> BigInt,
        signature -> Binary,
    }
}

diesel::table! {
    audit_keys (kek_id) {
        kek_id -> Text,
        sealed_by -> Text,
        sealed -> Binary,
    }
}

diesel::table! {
    database_identity (identity) {
        identity -> Text,
    }
}
