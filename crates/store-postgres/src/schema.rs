//! The schema, its versions, and its partitions.

use tokio_postgres::Client;

use crate::{
    OpenError, Options,
    connections::{config, quote},
    shared::KeyedHash,
};

/// What takes a schema from version n to n + 1, at index n. Never edited once released, only added to.
const MIGRATIONS: &[&str] =
    &[include_str!("schema_v1.sql"), include_str!("schema_v2.sql"), include_str!("schema_v3.sql")];

/// The version that this program writes.
pub(crate) const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// Positions that one partition holds.
pub(crate) const PARTITION_SHIFT: u32 = 40;

/// What [`migrate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 when there was no schema.
    pub from: u32,
    /// The version now.
    pub to: u32,
}

/// Makes the schema or brings it to this program's version.
///
/// Several servers may do so at once: they take turns, and who comes later finds nothing to do. Every version step is
/// one transaction.
///
/// # Errors
/// [`OpenError::NewerSchema`] for the schema of a later version, otherwise what the database says.
pub async fn migrate(options: &Options) -> Result<Migrated, OpenError> {
    let (config, tls) = config(options)?;
    let (mut client, connection) = config.connect(tls).await?;
    let connection = tokio::spawn(connection);
    let migrated = migrate_with(&mut client, options, MIGRATIONS).await;
    drop(client);
    // Ends when the client is gone.
    let _ = connection.await;
    migrated
}

async fn migrate_with(
    client: &mut Client,
    options: &Options,
    migrations: &[&str],
) -> Result<Migrated, OpenError> {
    let mut from = None;
    loop {
        let transaction = client.transaction().await?;
        let schema = quote(&options.schema);
        transaction
            .query(
                "SELECT pg_advisory_xact_lock(hashtextextended('endspan migration ' || $1, 0))",
                &[&options.schema],
            )
            .await?;
        let version = version_of(&transaction, &options.schema).await?;
        let before = *from.get_or_insert(version);
        if version > SCHEMA_VERSION {
            let (schema, supported) = (options.schema.clone(), SCHEMA_VERSION);
            return Err(OpenError::NewerSchema { schema, found: version, supported });
        }
        let Some(migration) = migrations.get(version as usize) else {
            return Ok(Migrated { from: before, to: version });
        };
        if version == 0 {
            transaction.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
        }
        transaction.batch_execute(&format!("SET LOCAL search_path = {schema}")).await?;
        transaction.batch_execute(migration).await?;
        if version == 0 {
            let mut key = [0_u8; 16];
            getrandom::fill(&mut key).map_err(|error| OpenError::Settings(error.to_string()))?;
            let days = i64::from(options.partition_days.max(1));
            transaction
                .execute(
                    "INSERT INTO meta (name, number, bytes) VALUES ('hash_key', NULL, $1), ('position_floor', 0, NULL), \
                     ('partition_days', $2, NULL), ('schema_version', 0, NULL)",
                    &[&&key[..], &days],
                )
                .await?;
            transaction.batch_execute(&create_partition(0)).await?;
            transaction.execute("INSERT INTO partitions (number, begins_at) VALUES (0, now())", &[]).await?;
        }
        let next = i64::from(version) + 1;
        transaction.execute("UPDATE meta SET number = $1 WHERE name = 'schema_version'", &[&next]).await?;
        transaction.commit().await?;
    }
}

async fn version_of(
    transaction: &tokio_postgres::Transaction<'_>,
    schema: &str,
) -> Result<u32, tokio_postgres::Error> {
    let there = transaction
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'meta')",
            &[&schema],
        )
        .await?;
    if !there.get::<_, bool>(0) {
        return Ok(0);
    }
    let sql = format!("SELECT number FROM {}.meta WHERE name = 'schema_version'", quote(schema));
    let row = transaction.query_one(&sql, &[]).await?;
    Ok(u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX))
}

/// Returns the statements that make a partition.
pub(crate) fn create_partition(number: i32) -> String {
    let from = i64::from(number) << PARTITION_SHIFT;
    let to = (i64::from(number) + 1) << PARTITION_SHIFT;
    // Room in each page lets the second write of a span stay in it, which touches no index. Compressed bytes are not
    // worth another try at compressing them. Attaching, unlike making a partition in place, waits for no reader.
    format!(
        "CREATE TABLE spans_p{number} (LIKE spans) WITH (fillfactor = 90); \
         ALTER TABLE spans ATTACH PARTITION spans_p{number} FOR VALUES FROM ({from}) TO ({to}); \
         CREATE TABLE blocks_p{number} (LIKE blocks); \
         ALTER TABLE blocks_p{number} ALTER COLUMN frame SET STORAGE EXTERNAL; \
         ALTER TABLE blocks ATTACH PARTITION blocks_p{number} FOR VALUES FROM ({from}) TO ({to});"
    )
}

/// Checks that the schema is this program's, and reads what never changes: the key of the hashes and the key of the
/// writers' lock.
pub(crate) async fn open(client: &Client, options: &Options) -> Result<(KeyedHash, i64), OpenError> {
    let there = client.query_one("SELECT to_regclass('meta') IS NOT NULL", &[]).await?;
    let mut found = 0;
    if there.get::<_, bool>(0) {
        let row = client.query_one("SELECT number FROM meta WHERE name = 'schema_version'", &[]).await?;
        found = u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX);
    }
    let schema = options.schema.clone();
    if found > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { schema, found, supported: SCHEMA_VERSION });
    }
    if found < SCHEMA_VERSION {
        return Err(OpenError::NotMigrated { schema, found, needed: SCHEMA_VERSION });
    }
    let row = client
        .query_one(
            "SELECT bytes, hashtextextended('endspan writers ' || $1, 0) FROM meta WHERE name = 'hash_key'",
            &[&options.schema],
        )
        .await?;
    let key = row
        .get::<_, &[u8]>(0)
        .try_into()
        .map_err(|_| OpenError::Database("the schema's hash key is damaged".to_owned()))?;
    Ok((KeyedHash::new(key), row.get(1)))
}

#[cfg(all(test, unix))]
mod tests {
    use endspan_store::{
        SpanStore as _, WriteOperation,
        conformance::{ended_span, request},
    };
    use endspan_testkit::TestPostgres;

    use tokio_postgres::NoTls;

    use super::*;
    use crate::PostgresStore;

    #[tokio::test]
    async fn a_schema_of_any_version_is_brought_to_this_one() {
        let Some(server) = TestPostgres::shared() else { return };
        for version in 0..=SCHEMA_VERSION {
            let mut options = Options::new(server.url());
            options.schema = format!("migrated_{version}_{}", std::process::id());
            let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", options.schema);
            let (mut client, connection) = tokio_postgres::connect(&options.url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(&drop).await.unwrap();
            migrate_with(&mut client, &options, &MIGRATIONS[..version as usize]).await.unwrap();
            let migrated = migrate(&options).await.unwrap();
            assert_eq!(migrated, Migrated { from: version, to: SCHEMA_VERSION });
            let store = PostgresStore::open(options).await.unwrap();
            let span = ended_span("t", "s");
            store.write(request(vec![WriteOperation::Upsert(span.clone())])).await.unwrap();
            assert_eq!(store.find_span(None, &span.id).await.unwrap().unwrap().span, span);
            store.close().await.unwrap();
            client.batch_execute(&drop).await.unwrap();
        }
    }
}
