//! One transaction per request, as diesel's and actix-web's guides show it: a pool of connections, and each request on
//! the blocking threads.
//!
//! Invariant: a save is as durable as the server's (`synchronous = FULL`), but nothing is sealed and no caller is
//! authenticated.

use std::error::Error;

use actix_web::{
    HttpResponse,
    error::ErrorInternalServerError,
    http::header::ContentType,
    web::{self, Bytes, Data, Json, ServiceConfig, post},
};
use diesel::{connection::SimpleConnection as _, insert_into, prelude::*};
use r2d2::{ManageConnection, Pool};
use serde::Deserialize;

use crate::{GET, SAVE};

const CONNECTIONS: u32 = 10;

type Connections = Pool<Manager>;
type Failure = Box<dyn Error + Send + Sync>;

diesel::table! {
    carriers (id) {
        id -> BigInt,
        body -> Binary,
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn last_insert_rowid() -> BigInt;
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    key: String,
}

/// Opens the connections of the pool, as diesel's own manager does.
struct Manager {
    database: String,
}

impl ManageConnection for Manager {
    type Connection = SqliteConnection;
    type Error = diesel::result::ConnectionError;

    fn connect(&self) -> Result<SqliteConnection, Self::Error> {
        let mut conn = SqliteConnection::establish(&self.database)?;
        conn.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL;")
            .map_err(Self::Error::CouldntSetupConfiguration)?;
        Ok(conn)
    }

    fn is_valid(&self, conn: &mut SqliteConnection) -> Result<(), Self::Error> {
        conn.batch_execute("SELECT 1").map_err(Self::Error::CouldntSetupConfiguration)
    }

    fn has_broken(&self, _conn: &mut SqliteConnection) -> bool {
        std::thread::panicking()
    }
}

pub(crate) fn configure(
    database: &str,
) -> Result<impl FnOnce(&mut ServiceConfig) + Clone + Send + use<>, Box<dyn Error>> {
    SqliteConnection::establish(database)?.batch_execute(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE IF NOT EXISTS carriers (id INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL);",
    )?;
    let manager = Manager { database: database.to_owned() };
    let pool = Data::new(Pool::builder().max_size(CONNECTIONS).build(manager)?);
    Ok(move |config: &mut ServiceConfig| {
        config.app_data(pool).route(SAVE, post().to(save)).route(GET, post().to(get));
    })
}

async fn save(body: Bytes, pool: Data<Connections>) -> actix_web::Result<HttpResponse> {
    let id = web::block(move || insert(&pool, &body)).await?.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::Ok().json(id.to_string()))
}

async fn get(body: Json<Get>, pool: Data<Connections>) -> actix_web::Result<HttpResponse> {
    let id: i64 = body.key.parse().map_err(actix_web::error::ErrorBadRequest)?;
    let body = web::block(move || find(&pool, id)).await?.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

fn insert(pool: &Connections, body: &[u8]) -> Result<i64, Failure> {
    let mut conn = pool.get()?;
    Ok(conn.immediate_transaction(|conn| {
        insert_into(carriers::table).values(carriers::body.eq(body)).execute(conn)?;
        diesel::select(last_insert_rowid()).get_result(conn)
    })?)
}

fn find(pool: &Connections, id: i64) -> Result<Vec<u8>, Failure> {
    Ok(carriers::table.find(id).select(carriers::body).first(&mut *pool.get()?)?)
}
