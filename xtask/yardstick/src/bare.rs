//! The upper bound: reads and writes JSON, and does nothing else.
//!
//! Invariant: bodies are read whole, and answers have the size of the server's.

use actix_web::{
    HttpResponse,
    http::header::ContentType,
    web::{Data, Json, ServiceConfig, post},
};
use serde::Deserialize;
use serde_json::json;

use crate::{GET, SAVE};

/// As long as a retrieval key.
const KEY: &str = "\"lk_000000000000000000000000000000000000000000000000000000000000\"";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Save {
    token_management_info: Carrier,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Carrier {
    provider: String,
    access_token: Option<String>,
    refresh_token: Option<String>,
    claims: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    key: String,
}

pub(crate) fn configure(config: &mut ServiceConfig) {
    config.app_data(Data::new(answer())).route(SAVE, post().to(save)).route(GET, post().to(get));
}

async fn save(body: Json<Save>) -> HttpResponse {
    let Carrier { provider, access_token, refresh_token, claims } =
        body.into_inner().token_management_info;
    let has_token = [access_token, refresh_token, claims].iter().any(Option::is_some);
    if provider.is_empty() || !has_token {
        return HttpResponse::BadRequest().finish();
    }
    HttpResponse::Ok().content_type(ContentType::json()).body(KEY)
}

async fn get(body: Json<Get>, answer: Data<String>) -> HttpResponse {
    if body.key.is_empty() {
        return HttpResponse::BadRequest().finish();
    }
    HttpResponse::Ok().content_type(ContentType::json()).body(answer.to_string())
}

/// Returns the server's answer for the measured record.
fn answer() -> String {
    let field = |length: u32| {
        let right = json!({"Mask": "Update", "Reason": ""});
        json!({"FieldRight": right, "FieldType": "System.String", "FieldLength": length})
    };
    let answer = json!({
        "Provider": "et", "AccessToken": "a".repeat(1000), "RefreshToken": "r".repeat(1000),
        "Claims": null, "TableRight": {"Mask": "FULL", "Reason": ""},
        "FieldProperties": {
            "AccessToken": field(65536), "Claims": field(65536),
            "Provider": field(255), "RefreshToken": field(65536)
        }
    });
    answer.to_string()
}
