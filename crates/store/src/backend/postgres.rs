//! Sessions on PostgreSQL, and on compatible servers.
//!
//! Invariant: no statement is waited for longer than `ANSWER_TIMEOUT`, or `SLOW_TIMEOUT` if it reads many rows. An
//! unconfirmed commit is never treated as confirmed. No setting of a statement outlives its transaction, because a
//! pooler may lend the connection to another application.

#[cfg(feature = "postgres-tls")]
pub(crate) mod certificates;
pub(crate) mod passfile;
pub(crate) mod pooler;
pub(crate) mod rows;
pub(crate) mod tls;
pub(crate) mod url;

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    mem,
    rc::Rc,
    time::Duration,
    vec,
};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    connection::{
        AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, Instrumentation,
        LoadConnection, MultiConnectionHelper, SimpleConnection,
    },
    expression::QueryMetadata,
    migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection},
    pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata},
    query_builder::{
        Query, QueryBuilder as _, QueryFragment, QueryId, bind_collector::RawBytesBindCollector,
    },
    result::{DatabaseErrorKind, Error},
    sql_types::TypeMetadata,
};
use futures_util::TryStreamExt as _;
use tokio::{
    runtime::{self, Runtime},
    time::{error::Elapsed, timeout},
};
use tokio_postgres::{
    Client, Statement,
    error::{Severity, SqlState},
};

use crate::{
    OpenError,
    backend::postgres::{
        rows::{Parameter, Row, column_types, parameter_type},
        url::{Connected, Driver, PostgresUrl},
    },
    error::error_chain,
};

/// Timeout of a statement.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a statement that reads many rows.
pub(crate) const SLOW_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of cancelling a statement that took too long.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes the commit of this transaction wait for the disk, and for a synchronous standby if there is one. Overrides the
/// configuration of the database and the role.
macro_rules! durable {
    () => {
        "SELECT set_config('synchronous_commit', 'on', true) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    };
}
pub(crate) use durable;

/// Begins a transaction that writes. Each statement sees the transactions committed before it.
pub(crate) const BEGIN: &str = concat!("BEGIN ISOLATION LEVEL READ COMMITTED; ", durable!());
/// Begins a serializable transaction that writes.
pub(crate) const BEGIN_SERIALLY: &str = concat!("BEGIN ISOLATION LEVEL SERIALIZABLE; ", durable!());
/// Begins a read-only transaction.
pub(crate) const BEGIN_READ_ONLY: &str = "BEGIN READ ONLY";

/// A session for a thread that may block. The driver is tokio-postgres; this type adds a timeout to each statement.
///
/// The timeout is on the client's side: the session is abandoned. With `statement_timeout`, the server would report a
/// commit that waits for a synchronous standby as done, and a failover could lose it.
pub(crate) struct Session {
    client: Box<Client>,
    driver: Option<Driver>,
    statements: HashMap<StatementKey, Statement>,
    transactions: AnsiTransactionManager,
    url: PostgresUrl,
    /// `None` for migrations, and for commands about the whole database, which have no timeout.
    limit: Option<Duration>,
    /// The SQLSTATE of the last rejection.
    refused: Option<SqlState>,
    runtime: Runtime,
}

/// The key of a prepared statement.
#[derive(PartialEq, Eq, Hash)]
enum StatementKey {
    /// The query's type, if it determines the text.
    Type(TypeId),
    Sql(String),
}

/// PostgreSQL's rejection of a statement, for a reason that diesel has no name for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    state: SqlState,
    /// The message without its details, which may hold values of a row.
    message: String,
}

impl Refusal {
    /// Returns the rejection in an error, if PostgreSQL rejected a statement.
    pub(crate) fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::QueryBuilderError(source) => source.downcast_ref(),
            _ => None,
        }
    }

    /// Returns the SQLSTATE, the code of the cause in every language (PostgreSQL's documentation, appendix A).
    pub(crate) fn state(&self) -> &SqlState {
        &self.state
    }

    /// Returns whether PostgreSQL rejected the data (classes 22 and 23), so that a retry cannot help.
    pub(crate) fn is_of_data(&self) -> bool {
        matches!(self.state.code().get(..2), Some("22" | "23"))
    }
}

impl Session {
    /// Opens a session with the first of the URL's hosts that meets its requirements.
    pub(crate) fn open(url: &PostgresUrl) -> Result<Self, OpenError> {
        let runtime = runtime()?;
        let Connected { client, driver } = runtime.block_on(url.connect())?;
        Ok(Self {
            client: Box::new(client),
            driver: Some(driver),
            statements: HashMap::new(),
            transactions: AnsiTransactionManager::default(),
            url: url.clone(),
            limit: Some(ANSWER_TIMEOUT),
            refused: None,
            runtime,
        })
    }

    /// Returns the SQLSTATE of the last rejection. For migrations, whose errors do not contain it.
    pub(crate) fn refused(&self) -> Option<&SqlState> {
        self.refused.as_ref()
    }

    /// Sets the timeout of statements and returns the former one.
    pub(crate) fn limit(&mut self, limit: Option<Duration>) -> Option<Duration> {
        mem::replace(&mut self.limit, limit)
    }

    /// Runs a query, and prepares it first if it is new.
    fn ask<T, R>(
        &mut self,
        query: &T,
        run: impl AsyncFnOnce(&Client, &Statement, Vec<Parameter>) -> Result<R, tokio_postgres::Error>,
    ) -> QueryResult<R>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let mut binds = RawBytesBindCollector::<Pg>::new();
        query.collect_binds(&mut binds, &mut NoLookup, &Pg)?;
        let key = match T::query_id() {
            Some(id) => StatementKey::Type(id),
            None => StatementKey::Sql(sql(query)?),
        };
        let is_kept = query.is_safe_to_cache_prepared(&Pg)?;
        let known = if is_kept { self.statements.get(&key).cloned() } else { None };
        let is_new = known.is_none();
        let text = match &key {
            _ if !is_new => String::new(),
            StatementKey::Sql(sql) => sql.clone(),
            StatementKey::Type(_) => sql(query)?,
        };
        let types = binds.metadata.iter().map(parameter_type).collect::<QueryResult<Vec<_>>>()?;
        let parameters = binds.binds.into_iter().map(Parameter).collect::<Vec<_>>();
        let client = &*self.client;
        let answer = wait::<Result<_, tokio_postgres::Error>>(&self.runtime, self.limit, async {
            let statement = match known {
                Some(statement) => statement,
                None => client.prepare_typed(&text, &types).await?,
            };
            let answer = run(client, &statement, parameters).await?;
            Ok((statement, answer))
        });
        let (statement, answer) = self.outcome(answer)?;
        if is_kept && is_new {
            self.statements.insert(key, statement);
        }
        Ok(answer)
    }

    /// Returns the outcome of a statement. `ClosedConnection`: it was not answered in time.
    fn outcome<T>(
        &mut self,
        outcome: Result<Result<T, tokio_postgres::Error>, Elapsed>,
    ) -> QueryResult<T> {
        match outcome {
            Ok(outcome) => outcome.map_err(|error| self.error(error)),
            Err(_elapsed) => {
                // No caller waits for it any more. Without the cancellation it would keep its slot on the server.
                let ending = self.url.cancel(self.client.cancel_token());
                let _ = self.runtime.block_on(async { timeout(CANCEL_TIMEOUT, ending).await });
                Err(closed("the server did not answer in time"))
            }
        }
    }

    /// Converts an error to diesel's type.
    fn error(&mut self, error: tokio_postgres::Error) -> Error {
        self.refused = error.code().cloned();
        let Some(refusal) = error.as_db_error() else {
            // The task that drives the connection knows why it was closed.
            let driver = if error.is_closed() { self.driver.take() } else { None };
            let reason = driver.and_then(|driver| {
                self.runtime.block_on(async { timeout(CANCEL_TIMEOUT, driver).await }).ok()
            });
            return match reason {
                Some(Ok(Err(reason))) => closed(&error_chain(&reason)),
                _ => closed(&error_chain(&error)),
            };
        };
        let message = refusal.message().to_owned();
        let kind = match *refusal.code() {
            SqlState::UNIQUE_VIOLATION => DatabaseErrorKind::UniqueViolation,
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
                DatabaseErrorKind::SerializationFailure
            }
            SqlState::READ_ONLY_SQL_TRANSACTION => DatabaseErrorKind::ReadOnlyTransaction,
            _ => match refusal.parsed_severity() {
                Some(Severity::Fatal | Severity::Panic) => return closed(&message),
                _ => {
                    let state = refusal.code().clone();
                    return Error::QueryBuilderError(Box::new(Refusal { state, message }));
                }
            },
        };
        Error::DatabaseError(kind, Box::new(message))
    }
}

/// Creates the runtime of a session or a check, which runs on the calling thread.
pub(crate) fn runtime() -> Result<Runtime, OpenError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(OpenError::server)
}

fn sql(query: &impl QueryFragment<Pg>) -> QueryResult<String> {
    let mut builder = PgQueryBuilder::default();
    query.to_sql(&mut builder, &Pg)?;
    Ok(builder.finish())
}

fn closed(error_chain: &str) -> Error {
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(error_chain.to_owned()))
}

/// Waits for a statement until its timeout.
fn wait<T>(
    runtime: &Runtime,
    limit: Option<Duration>,
    statement: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    runtime.block_on(async {
        match limit {
            Some(limit) => timeout(limit, statement).await,
            None => Ok(statement.await),
        }
    })
}

impl SimpleConnection for Session {
    fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        let outcome = wait(&self.runtime, self.limit, self.client.batch_execute(sql));
        self.outcome(outcome)
    }
}

impl ConnectionSealed for Session {}

impl Connection for Session {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let opened = url.parse::<PostgresUrl>().and_then(|url| Self::open(&url));
        opened.map_err(|error: OpenError| ConnectionError::BadConnection(error_chain(&error)))
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let count = self.ask(source, async |client, statement, parameters| {
            client.execute_raw(statement, parameters).await
        })?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        // The type has no size, so nothing is allocated or leaked.
        Box::leak(Box::new(NoInstrumentation))
    }

    fn set_instrumentation(&mut self, _instrumentation: impl Instrumentation) {}

    fn set_prepared_statement_cache_size(&mut self, _size: CacheSize) {}
}

/// Instrumentation that does nothing.
struct NoInstrumentation;

impl Instrumentation for NoInstrumentation {
    fn on_connection_event(&mut self, _event: diesel::connection::InstrumentationEvent<'_>) {}
}

impl LoadConnection for Session {
    type Cursor<'conn, 'query> = vec::IntoIter<QueryResult<Row>>;
    type Row<'conn, 'query> = Row;

    fn load<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let rows = self.ask(&source, async |client, statement, parameters| {
            let types = column_types(statement);
            let rows = client.query_raw(statement, parameters).await?;
            rows.map_ok(|row| Ok(Row::new(row, Rc::clone(&types)))).try_collect::<Vec<_>>().await
        })?;
        Ok(rows.into_iter())
    }
}

impl MigrationConnection for Session {
    fn setup(&mut self) -> QueryResult<usize> {
        self.batch_execute(CREATE_MIGRATIONS_TABLE).map(|()| 0)
    }
}

/// A lookup that is never needed, because the schema uses only PostgreSQL's built-in types.
struct NoLookup;

impl PgMetadataLookup for NoLookup {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        unreachable!("the schema has no type {schema:?}.{name}")
    }
}

impl MultiConnectionHelper for Session {
    fn to_any<'a>(_lookup: &mut <Pg as TypeMetadata>::MetadataLookup) -> &mut (dyn Any + 'a) {
        // The type has no size, so nothing is allocated or leaked.
        Box::leak(Box::new(NoLookup))
    }

    fn from_any(_lookup: &mut dyn Any) -> Option<&mut <Pg as TypeMetadata>::MetadataLookup> {
        Some(Box::leak(Box::new(NoLookup)))
    }
}
