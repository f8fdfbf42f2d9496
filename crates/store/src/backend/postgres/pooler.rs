//! Whether something that pools connections by transaction stands before PostgreSQL.
//!
//! Invariant: looking leaves nothing behind on a connection, and PostgreSQL itself is never refused, however
//! slow it is.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{
    OpenError,
    backend::postgres::{
        runtime,
        url::{Connected, PostgresUrl},
    },
};

/// How long to look. What is not found by then is taken for PostgreSQL itself.
const LIMIT: Duration = Duration::from_secs(1);

const PROCESS: &str = "SELECT pg_backend_pid()";

/// Refuses a pooler that gives each transaction any connection: prepared statements are those of a connection.
/// Needs two connections for a moment.
pub(crate) fn refuse(url: &PostgresUrl) -> Result<(), OpenError> {
    runtime()?.block_on(async {
        let one = url.connect().await?;
        let other = url.connect().await?;
        match timeout(LIMIT, is_one_process(&one, &other)).await {
            Ok(false) => Err(OpenError::Pooler),
            Ok(true) | Err(_) => Ok(()),
        }
    })
}

/// Whether each of two connections has one process of PostgreSQL, and another than the other's. A pooler may give
/// out the connection that was used last, or the one that was idle longest; either shows.
async fn is_one_process(one: &Connected, other: &Connected) -> bool {
    let (Ok(first), Ok(second)) =
        (ask(&one.client, PROCESS).await, ask(&one.client, PROCESS).await)
    else {
        return true;
    };
    let held = match ask(&other.client, &format!("BEGIN; {PROCESS}")).await {
        Ok(held) => held,
        // PgBouncer's statement mode refuses each transaction; PostgreSQL refuses none.
        Err(error) => return error.as_db_error().is_none(),
    };
    // With one connection for all, the next question would have no answer.
    if first != second || first == held {
        return false;
    }
    let third = ask(&one.client, PROCESS).await;
    let _ = other.client.batch_execute("ROLLBACK").await;
    third.is_err() || third.is_ok_and(|third| first == third)
}

/// What a query finds; asked in a way that prepares nothing.
async fn ask(client: &Client, query: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let answers = client.simple_query(query).await?;
    Ok(answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}
