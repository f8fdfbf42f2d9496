//! Sessions on PostgreSQL, and on what speaks as it does.
//!
//! Invariant: no statement is waited for longer than `ANSWER_TIMEOUT`, and a commit that was not
//! confirmed is never taken for one that was.

use std::{any::Any, io, time::Duration, vec};

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
    time::timeout,
};

use crate::postgres_url::PostgresUrl;

/// How long a statement may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// What every session begins with. Rows that the server would lose with its machine are not what a save
/// was promised.
const SET_UP: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                      WHERE current_setting('synchronous_commit') = 'off'";

type Row = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A session for a thread that may block. Its statements are diesel-async's; here each gets its end.
///
/// That end is the client's, which gives the session up. Were the server to cancel a commit that waits
/// for a synchronous standby (`statement_timeout` does), it would call it done, and a failover could
/// lose it.
pub(crate) struct Session {
    inner: Box<AsyncPgConnection>,
    transactions: AnsiTransactionManager,
    runtime: Runtime,
}

impl Session {
    /// Begins a session with the first of the URL's hosts that is as it asks for.
    pub(crate) fn open(url: &PostgresUrl) -> ConnectionResult<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(setup_failed)?;
        let inner = Box::new(runtime.block_on(url.connect())?);
        let mut session = Self { inner, transactions: AnsiTransactionManager::default(), runtime };
        session.batch_execute(SET_UP).map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(session)
    }
}

fn setup_failed(error: io::Error) -> ConnectionError {
    ConnectionError::BadConnection(error.to_string())
}

/// Waits for a statement as long as is right.
fn wait<T>(runtime: &Runtime, statement: impl Future<Output = QueryResult<T>>) -> QueryResult<T> {
    runtime.block_on(async {
        timeout(ANSWER_TIMEOUT, statement).await.unwrap_or_else(|_elapsed| {
            let told = "the server did not answer in time".to_owned();
            Err(Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(told)))
        })
    })
}

impl SimpleConnection for Session {
    fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        wait(&self.runtime, self.inner.batch_execute(sql))
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
        wait(&self.runtime, self.inner.execute_returning_count(source))
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
        Ok(wait::<Vec<_>>(&self.runtime, rows)?.into_iter())
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
