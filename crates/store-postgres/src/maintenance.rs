//! Work that some server does from time to time: partitions ahead of need, and blocks in which nothing is left.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Object;

use crate::{error::Result, schema::create_partition, shared::Shared};

/// How often each server looks.
const INTERVAL: Duration = Duration::from_secs(300);
/// Blocks that one round deletes.
const BLOCKS_A_ROUND: i64 = 10_000;

/// Runs until the store is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let round = shared.maintaining.lock().await;
        if let Err(error) = maintain(&shared).await {
            tracing::warn!(%error, "maintenance failed; it is tried again later");
        }
        drop(round);
        tokio::time::sleep(INTERVAL).await;
        if shared.is_closed() {
            return;
        }
    }
}

/// Does everything that is due.
pub(crate) async fn maintain(shared: &Shared) -> Result<()> {
    let client = shared.connections.writers.get().await?;
    let done = maintain_with(&client, shared).await;
    if done.is_err() {
        // Whatever is left of the transaction goes with the connection.
        drop(Object::take(client));
    }
    done
}

async fn maintain_with(client: &Object, shared: &Shared) -> Result<()> {
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = '10s'").await?;
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&shared.lock_key]).await?;
    make_partitions(client).await?;
    client
        .execute(
            "DELETE FROM blocks WHERE block_key IN \
             (SELECT block_key FROM blocks WHERE dead_spans >= spans LIMIT $1)",
            &[&BLOCKS_A_ROUND],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    drop_partitions(client, shared).await
}

/// Drops partitions that are over and empty: their room is free at once. Writers wait, so that they stay empty; readers
/// that have a table open come first, and then it is for the next time.
async fn drop_partitions(client: &Object, shared: &Shared) -> Result<()> {
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = '2s'").await?;
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&shared.lock_key]).await?;
    let over = client
        .query(
            "SELECT number FROM partitions WHERE number < \
             (SELECT max(number) FROM partitions WHERE begins_at <= now()) ORDER BY number",
            &[],
        )
        .await?;
    for row in &over {
        let number: i32 = row.try_get(0)?;
        let is_empty = format!(
            "SELECT NOT EXISTS (SELECT FROM spans_p{number}) AND NOT EXISTS (SELECT FROM blocks_p{number})"
        );
        if client.query_one(&is_empty, &[]).await?.try_get::<_, bool>(0)? {
            let drop = format!(
                "DROP TABLE spans_p{number}; DROP TABLE blocks_p{number}; \
                 DELETE FROM partitions WHERE number = {number}"
            );
            client.batch_execute(&drop).await?;
        }
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Makes partitions until there is one that has not begun.
async fn make_partitions(client: &Object) -> Result<()> {
    loop {
        let row = client
            .query_one("SELECT number, begins_at > now() FROM partitions ORDER BY number DESC LIMIT 1", &[])
            .await?;
        let (number, is_ahead): (i32, bool) = (row.try_get(0)?, row.try_get(1)?);
        if is_ahead {
            return Ok(());
        }
        let next = number + 1;
        client.batch_execute(&create_partition(next)).await?;
        client
            .execute(
                "INSERT INTO partitions (number, begins_at) SELECT $1, \
                 greatest(begins_at, now()) + make_interval(days => (SELECT number FROM meta \
                 WHERE name = 'partition_days')::integer) FROM partitions WHERE number = $2",
                &[&next, &number],
            )
            .await?;
    }
}

/// Lets the next partition begin now. For tests.
pub(crate) async fn rotate(shared: &Shared) -> Result<()> {
    maintain(shared).await?;
    let client = shared.connections.writers.get().await?;
    client.execute("UPDATE partitions SET begins_at = now() WHERE begins_at > now()", &[]).await?;
    drop(client);
    maintain(shared).await
}
