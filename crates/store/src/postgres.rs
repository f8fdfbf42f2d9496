//! Sessions on PostgreSQL, and on what speaks as it does.
//!
//! Invariant: a server waits for no statement longer than `ANSWER_TIMEOUT`, or `PATIENCE` where many rows are
//! looked at, and a commit that was not confirmed is never taken for one that was.

use std::{any::Any, io, mem, time::Duration, vec};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    connection::{
        AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, Instrumentation,
        LoadConnection, MultiConnectionHelper, SimpleConnection,
    },
    expression::QueryMetadata,
    migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection},
    pg::{Pg, PgMetadataLookup, PgTypeMetadata},
    query_builder::{Query, QueryFragment, QueryId},
    result::{DatabaseErrorKind, Error},
    sql_types::TypeMetadata,
};
use diesel_async::{
    AsyncConnection as _, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection as _,
};
use futures_util::TryStreamExt as _;
use tokio::{
    runtime::{self, Runtime},
    time::{error::Elapsed, timeout},
};

use crate::postgres_url::PostgresUrl;

/// How long a statement may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one may take that looks at many rows.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to end one that took too long, or to find out whether the server is still there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// What every session begins with: a commit waits for the disk, and for a synchronous standby if there is
/// one.
const SET_UP: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                      WHERE current_setting('synchronous_commit') IN ('off', 'local')";

type Row = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A session for a thread that may block. Its statements are diesel-async's; here each gets its end.
///
/// That end is the client's, which gives the session up. Were the server to end a commit that waits for a
/// synchronous standby by itself (`statement_timeout`), it would call it done, and a failover could lose it.
pub(crate) struct Session {
    inner: Box<AsyncPgConnection>,
    transactions: AnsiTransactionManager,
    url: PostgresUrl,
    /// `None` for migrations, and for commands about the whole database, which take as long as they take.
    limit: Option<Duration>,
    runtime: Runtime,
}

impl Session {
    /// Begins a session with the first of the URL's hosts that is as it asks for.
    pub(crate) fn open(url: &PostgresUrl) -> ConnectionResult<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(setup_failed)?;
        let inner = Box::new(runtime.block_on(url.connect())?);
        let transactions = AnsiTransactionManager::default();
        let limit = Some(ANSWER_TIMEOUT);
        let mut session = Self { inner, transactions, url: url.clone(), limit, runtime };
        session.batch_execute(SET_UP).map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(session)
    }
}

fn setup_failed(error: io::Error) -> ConnectionError {
    ConnectionError::BadConnection(error.to_string())
}

impl Session {
    /// Lets statements take no longer than this; what was the limit before.
    pub(crate) fn limit(&mut self, limit: Option<Duration>) -> Option<Duration> {
        mem::replace(&mut self.limit, limit)
    }

    /// What became of a statement; `ClosedConnection` of one that was not answered in time, or after
    /// whose refusal the server is gone.
    fn outcome<T>(&mut self, outcome: Result<QueryResult<T>, Elapsed>) -> QueryResult<T> {
        let Ok(outcome) = outcome else {
            // Nobody waits for it any more; left alone it would keep its place on the server.
            let ending = self.url.cancel(self.inner.cancel_token());
            let _ = self.runtime.block_on(async { timeout(PROBE_TIMEOUT, ending).await });
            return Err(closed("the server did not answer in time"));
        };
        if let Err(Error::DatabaseError(DatabaseErrorKind::Unknown, told)) = &outcome {
            let empty = self.inner.batch_execute("");
            let is_there = self.runtime.block_on(async { timeout(PROBE_TIMEOUT, empty).await });
            if !matches!(is_there, Ok(Ok(()))) {
                return Err(closed(told.message()));
            }
        }
        outcome
    }
}

fn closed(told: &str) -> Error {
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(told.to_owned()))
}

/// Waits for a statement as long as is right.
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
        let outcome = wait(&self.runtime, self.limit, self.inner.batch_execute(sql));
        self.outcome(outcome)
    }
}

impl ConnectionSealed for Session {}

impl Connection for Session {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let url = url.parse().map_err(|error: crate::OpenError| {
            ConnectionError::InvalidConnectionUrl(error.to_string())
        })?;
        Self::open(&url)
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let count = self.inner.execute_returning_count(source);
        let outcome = wait(&self.runtime, self.limit, count);
        self.outcome(outcome)
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
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
        let rows = async { self.inner.load(source).await?.map_ok(Ok).try_collect().await };
        let outcome = wait::<QueryResult<Vec<_>>>(&self.runtime, self.limit, rows);
        Ok(self.outcome(outcome)?.into_iter())
    }
}

impl MigrationConnection for Session {
    fn setup(&mut self) -> QueryResult<usize> {
        self.batch_execute(CREATE_MIGRATIONS_TABLE).map(|()| 0)
    }
}

/// The types of this schema are PostgreSQL's own, whose numbers nobody has to look up.
struct NoLookup;

impl PgMetadataLookup for NoLookup {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        unreachable!("the schema has no type {schema:?}.{name}")
    }
}

impl MultiConnectionHelper for Session {
    fn to_any<'a>(_lookup: &mut <Pg as TypeMetadata>::MetadataLookup) -> &mut (dyn Any + 'a) {
        // Of a type without size nothing is allocated, and nothing leaks.
        Box::leak(Box::new(NoLookup))
    }

    fn from_any(_lookup: &mut dyn Any) -> Option<&mut <Pg as TypeMetadata>::MetadataLookup> {
        Some(Box::leak(Box::new(NoLookup)))
    }
}
