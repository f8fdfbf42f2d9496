//! Detection of a pooler in front of PostgreSQL that pools by transaction.
//!
//! Invariant: the check leaves nothing behind on a connection. PostgreSQL itself is never refused, however slow it is.

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

/// Timeout of the check. If no pooler is found by then, the server counts as PostgreSQL itself.
const LIMIT: Duration = Duration::from_secs(1);

const PROCESS: &str = "SELECT pg_backend_pid()";

/// Refuses a pooler that gives each transaction any connection, because prepared statements belong to a connection.
/// Uses two connections for a moment.
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

/// Returns whether each of two connections has a PostgreSQL process of its own. A pooler may hand out the most recently
/// or the least recently used connection; the check detects both.
async fn is_one_process(one: &Connected, other: &Connected) -> bool {
    let (Ok(first), Ok(second)) =
        (ask(&one.client, PROCESS).await, ask(&one.client, PROCESS).await)
    else {
        return true;
    };
    let held = match ask(&other.client, &format!("BEGIN; {PROCESS}")).await {
        Ok(held) => held,
        // PgBouncer's statement mode rejects every transaction; PostgreSQL rejects none.
        Err(error) => return error.as_db_error().is_none(),
    };
    // If both share one connection, the next query would get no answer.
    if first != second || first == held {
        return false;
    }
    let third = ask(&one.client, PROCESS).await;
    let _ = other.client.batch_execute("ROLLBACK").await;
    third.is_err() || third.is_ok_and(|third| first == third)
}

/// Returns the result of a query, without preparing a statement.
async fn ask(client: &Client, query: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let answers = client.simple_query(query).await?;
    Ok(answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}
