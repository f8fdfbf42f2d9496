//! An OAuth provider that refreshes at a known speed.
//!
//! Invariant: it answers each refresh after the same time, and counts them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    rt::time::sleep,
    web::{ServiceConfig, get, post},
};
use serde_json::json;

/// The time of a refresh.
const TIME: Duration = Duration::from_millis(50);

static REFRESHES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn configure(config: &mut ServiceConfig) {
    config.route("/token", post().to(token)).route("/count", get().to(count));
}

async fn token() -> HttpResponse {
    let number = REFRESHES.fetch_add(1, Relaxed);
    sleep(TIME).await;
    HttpResponse::Ok().json(json!({
        "access_token": format!("{number:a>1000}"), "refresh_token": format!("{number:r>1000}"),
        "token_type": "Bearer", "expires_in": 3600
    }))
}

async fn count() -> HttpResponse {
    HttpResponse::Ok().body(REFRESHES.load(Relaxed).to_string())
}
