//! A small server on actix-web: it takes orders as JSON, XML or a form, and answers in the type that the client
//! accepts.
//!
//! Invariant: every answer, errors too, is in the negotiated type. If there is none, the answer is JSON.
//!
//! ```sh
//! cargo run -p latchkey-negotiate --example actix
//! curl -i http://127.0.0.1:3000/orders -H 'Accept: application/xml' \
//!   -d 'customer=Eva&lines[0].product=tea&lines[0].count=2&lines[1].product=milk&lines[1].count=1'
//! curl -i http://127.0.0.1:3000/orders -H 'Content-Type: application/json' \
//!   -d '{"customer": "Eva", "lines": [{"product": "tea", "count": "two"}]}'
//! ```
//!
//! The first answer is `<Receipt><customer>Eva</customer>…<count>3</count></Receipt>`. The second is a 422:
//! `{"message":"lines[0].count must be a whole number, not a string","property":"lines[0].count"}`.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::fmt::Display;

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::{
        StatusCode,
        header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, VARY},
    },
    rt::System,
    web,
};
use negotiate::{
    Accept, ContentCoding, ContentType, DecodeError, MediaType, body::Body, join_lines,
    serialize_answer,
};
use serde::{Deserialize, Serialize};

/// The maximum length of a body, compressed or not.
const MAX_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Order {
    customer: String,
    #[serde(default)]
    gift: bool,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    product: String,
    count: u32,
}

#[derive(Serialize)]
struct Receipt {
    customer: String,
    gift: bool,
    products: Vec<String>,
    count: u64,
}

#[derive(Serialize)]
struct Failure {
    #[serde(skip)]
    status: StatusCode,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    property: Option<String>,
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    System::new().block_on(async {
        let app = || App::new().route("/orders", web::post().to(order));
        let server = HttpServer::new(app).workers(1).bind(address)?;
        for address in server.addrs() {
            println!("listening on http://{address}/orders");
        }
        server.run().await
    })
}

async fn order(request: HttpRequest, body: web::Payload) -> HttpResponse {
    let headers = request.headers();
    let media_type = match MediaType::of_answer(&Accept::of_lines(headers.get_all(ACCEPT))) {
        Ok(media_type) => media_type,
        Err(error) => {
            let failure = Failure::new(StatusCode::NOT_ACCEPTABLE, error);
            return answer(failure.status, &failure, "Failure", MediaType::ApplicationJson);
        }
    };
    let body = match body.to_bytes_limited(MAX_BYTES).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Failure::new(StatusCode::BAD_REQUEST, error)),
        Err(error) => Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error)),
    };
    match body.and_then(|bytes| read(headers, &bytes)) {
        Ok(order) => answer(StatusCode::OK, &receipt(order), "Receipt", media_type),
        Err(failure) => answer(failure.status, &failure, "Failure", media_type),
    }
}

/// Reads a body of any type.
fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Order, Failure> {
    let unsupported = |error: &dyn Display| Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = ContentType::parse(content_type).map_err(|error| unsupported(&error))?;
    let coding = join_lines(headers.get_all(CONTENT_ENCODING)).unwrap_or_default();
    let coding = ContentCoding::parse(&coding).map_err(|error| unsupported(&error))?;
    let decoded = coding.map(|coding| coding.decode(bytes, MAX_BYTES)).transpose();
    let decoded = decoded.map_err(|error| match error {
        DecodeError::TooLong(_) => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error),
        _ => Failure::new(StatusCode::BAD_REQUEST, error),
    })?;
    let body = Body::read(content_type, decoded.as_deref().unwrap_or(bytes))
        .map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error))?;
    body.deserialize().map_err(|error| Failure {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        message: error.to_string(),
        property: Some(error.property),
    })
}

fn receipt(order: Order) -> Receipt {
    Receipt {
        customer: order.customer,
        gift: order.gift,
        count: order.lines.iter().map(|line| u64::from(line.count)).sum(),
        products: order.lines.into_iter().map(|line| line.product).collect(),
    }
}

/// Writes an answer in the negotiated type. A text that XML cannot hold is a 406.
fn answer(
    status: StatusCode,
    value: &impl Serialize,
    root: &str,
    media_type: MediaType,
) -> HttpResponse {
    match serialize_answer(value, root, media_type) {
        Ok(text) => HttpResponse::build(status)
            .insert_header((CONTENT_TYPE, media_type.content_type()))
            .insert_header((VARY, "Accept"))
            .body(text),
        Err(error) => HttpResponse::NotAcceptable()
            .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
            .insert_header((VARY, "Accept"))
            .body(error.to_string()),
    }
}

impl Failure {
    fn new(status: StatusCode, message: impl Display) -> Self {
        Self { status, message: message.to_string(), property: None }
    }
}
