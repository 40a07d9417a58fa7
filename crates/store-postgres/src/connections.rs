//! Connections: bounded pools, how a session is set up, and reads of one snapshot.

use std::str::FromStr;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use futures_util::FutureExt as _;
use tokio_postgres::{
    Config, Row,
    types::{ToSql, Type},
};

use crate::{OpenError, Options, error::Result, tls::Tls, url};

/// The connections of one store.
pub(crate) struct Connections {
    pub(crate) writers: Pool,
    pub(crate) readers: Pool,
    tls: Tls,
}

/// A parameter of a statement.
pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

impl Connections {
    pub(crate) fn new(options: &Options) -> std::result::Result<Self, OpenError> {
        Ok(Self {
            tls: config(options)?.1,
            // One more than writers, for maintenance.
            writers: pool(options, options.writers.max(1) + 1, WRITER)?,
            readers: pool(options, options.readers.max(1), READER)?,
        })
    }

    /// Begins to read one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        let client = Some(self.readers.get().await?);
        Ok(Snapshot { client, tls: self.tls.clone(), begun: false, busy: false })
    }
}

/// Statements of writers look few rows up by their keys; a plan that scans whole tables is never right. Whoever holds
/// the writers' turn and goes silent loses it.
const WRITER: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET plan_cache_mode = force_generic_plan; SET jit = off; SET idle_in_transaction_session_timeout = '15s'; \
     SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 5; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
/// Readers stop early: pages are small and cursors are closed after the first pages.
const READER: &str = "SET cursor_tuple_fraction = 0.001; SET random_page_cost = 1.1; SET jit = off; \
     SET idle_in_transaction_session_timeout = '60s'; SET default_transaction_read_only = on";

/// Reads the URL, and fills in what it leaves open.
pub(crate) fn config(options: &Options) -> std::result::Result<(Config, Tls), OpenError> {
    let (rest, sections) = url::split(&options.url);
    let mut config = Config::from_str(&rest)
        .map_err(|error| OpenError::Settings(format!("not a Postgres URL: {error}")))?;
    let (mode, tls) = Tls::of(&sections)?;
    config.ssl_mode(mode);
    config.connect_timeout(options.connect_timeout);
    if config.get_application_name().is_none() {
        config.application_name("endspan");
    }
    Ok((config, tls))
}

/// Quotes the name of the schema for SQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn pool(options: &Options, size: usize, settings: &str) -> std::result::Result<Pool, OpenError> {
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let (config, tls) = config(options)?;
    let manager = Manager::from_config(config, tls, manager_config);
    let settings = format!(
        "SET search_path = {}; SET statement_timeout = {}; {settings}",
        quote(&options.schema),
        options.statement_timeout.as_millis()
    );
    let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
        let settings = settings.clone();
        Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
    });
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(options.wait_timeout),
            create: Some(options.connect_timeout),
            recycle: Some(options.connect_timeout),
        })
        .post_create(set_up)
        .build()
        .map_err(|error| OpenError::Settings(error.to_string()))
}

/// Reads that see one state of the database.
pub(crate) struct Snapshot {
    client: Option<Object>,
    tls: Tls,
    begun: bool,
    /// A statement is on its way.
    busy: bool,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

impl Snapshot {
    pub(crate) async fn query(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        let Some(client) = &self.client else { return Ok(Vec::new()) };
        let statement = client.prepare_cached(sql).await?;
        self.busy = true;
        let rows = if std::mem::replace(&mut self.begun, true) {
            client.query(&statement, parameters).await
        } else {
            // Both go out together.
            let both = futures_util::future::try_join(
                client.batch_execute(BEGIN),
                client.query(&statement, parameters),
            );
            both.await.map(|((), rows)| rows)
        };
        self.busy = false;
        Ok(rows?)
    }

    /// Opens a cursor over a query.
    pub(crate) async fn declare(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<()> {
        let Some(client) = &self.client else { return Ok(()) };
        self.busy = true;
        if !std::mem::replace(&mut self.begun, true) {
            client.batch_execute(BEGIN).await?;
        }
        let types: Vec<Type> = Vec::new();
        let statement =
            client.prepare_typed(&format!("DECLARE found NO SCROLL CURSOR FOR {sql}"), &types).await?;
        client.execute(&statement, parameters).await?;
        self.busy = false;
        Ok(())
    }

    /// Takes the next rows of the cursor.
    pub(crate) async fn fetch(&mut self, count: usize) -> Result<Vec<Row>> {
        let Some(client) = &self.client else { return Ok(Vec::new()) };
        self.busy = true;
        let rows = client.query(&format!("FETCH {count} FROM found"), &[]).await?;
        self.busy = false;
        Ok(rows)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if self.busy {
            // Whoever asked has gone away. The connection would answer the next reader late.
            let cancel = client.cancel_token();
            let connection = Object::take(client);
            let tls = self.tls.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    let _ = cancel.cancel_query(tls).await;
                    drop(connection);
                });
            }
        } else if self.begun {
            // Goes out with the first poll; nobody needs the answer.
            let _ = client.batch_execute("ROLLBACK").now_or_never();
        }
    }
}
