//! Old spans go by themselves: by age and by size, an account at a time, in small pieces between the writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use endspan_model::{AccountId, Timestamp};
use endspan_store::{AccountUsage, Deleted, Deleting, Deletion, StoreError};
use tokio::time::Instant;

use crate::app::{App, Phase};

/// Most spans deleted at once: a piece must not hold writes up.
pub(crate) const PIECE_SPANS: u32 = 500;

/// Shortest pause after a piece. The pause is never shorter than the piece took, so that half of the time is the writes'.
const PAUSE: Duration = Duration::from_millis(5);

/// What a span counts beside its payloads: its row and its places in indexes.
const ROW_BYTES: u64 = 512;

/// How long spans are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// For every account that is not named below.
    pub default: RetentionLimits,
    /// For accounts of their own; absent limits are none, not the default ones.
    pub accounts: HashMap<AccountId, RetentionLimits>,
}

/// The limits of one account. Whole traces go; `None` keeps everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionLimits {
    /// A trace goes when all of its spans started longer ago than this.
    pub max_age: Option<Duration>,
    /// The oldest traces go while the account has more than this many bytes: its payloads as stored, by how well
    /// the store compresses what it holds, and 512 bytes a span. Of the last one a part may stay until the next look.
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// Returns the limits of an account.
    pub fn limits(&self, account: &AccountId) -> RetentionLimits {
        self.accounts.get(account).copied().unwrap_or(self.default)
    }

    /// Returns whether anything may ever go.
    pub fn is_off(&self) -> bool {
        let none = RetentionLimits::default();
        self.default == none && self.accounts.values().all(|limits| *limits == none)
    }
}

/// Why spans were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Age,
    Size,
    Request,
}

impl Reason {
    pub(crate) const ALL: [Self; 3] = [Self::Age, Self::Size, Self::Request];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::Request => "request",
        }
    }
}

/// What retention has done since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetentionState {
    /// Whether it is deleting now.
    pub(crate) running: bool,
    /// When it last looked at every account.
    pub(crate) last_run: Option<Timestamp>,
    /// Whether the last look ended early because the store failed.
    pub(crate) failed: bool,
}

/// Where [`RetentionState`] is kept.
#[derive(Debug, Default)]
pub(crate) struct StateCell(Mutex<RetentionState>);

impl StateCell {
    pub(crate) fn get(&self) -> RetentionState {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut RetentionState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Looks at every account again and again until the server stops.
pub(crate) async fn run(app: Arc<App>) {
    if app.config.retention.is_off() {
        return;
    }
    let mut phase = app.phase.clone();
    let stopped = async move {
        let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
    };
    let rounds = async {
        loop {
            app.retention.change(|state| state.running = true);
            let result = look(&app).await;
            if let Err(error) = &result {
                app.telemetry.retention_failures.add(1);
                app.store_log.failed(error);
            }
            app.retention.change(|state| {
                *state = RetentionState {
                    running: false,
                    last_run: Some(Timestamp::now()),
                    failed: result.is_err(),
                }
            });
            tokio::time::sleep(app.config.retention_interval).await;
        }
    };
    // A piece that is cut off is done by the store or not; nothing waits for it.
    tokio::select! {
        () = stopped => {}
        () = rounds => {}
    }
}

/// Looks at every account once.
async fn look(app: &App) -> Result<(), StoreError> {
    for usage in app.store.accounts().await? {
        let limits = app.config.retention.limits(&usage.account);
        if let Some(max_age) = limits.max_age
            && let Some(before) = before(Timestamp::now(), max_age)
            && usage.oldest_start < before
        {
            let what = Deleting::Started { from: None, before };
            let deleted = delete(app, Some(&usage.account), what, Reason::Age, |_| Some(PIECE_SPANS)).await?;
            log(&usage.account, Reason::Age, &deleted);
        }
    }
    let by_size = |account: &AccountId| app.config.retention.limits(account).max_bytes;
    let usages = app.store.accounts().await?;
    if usages.iter().all(|usage| by_size(&usage.account).is_none()) {
        return Ok(());
    }
    let stats = app.store.stats().await?;
    let live = stats.stored_payload_bytes.saturating_sub(stats.superseded_payload_bytes);
    let all = usages.iter().map(|usage| usage.payload_bytes).sum::<u64>();
    for usage in &usages {
        let Some(max_bytes) = by_size(&usage.account) else { continue };
        let size = |spans: u64, payload_bytes: u64| estimate(spans, payload_bytes, live, all);
        let excess = size(usage.spans, usage.payload_bytes).saturating_sub(max_bytes);
        if excess == 0 {
            continue;
        }
        let each = (size(usage.spans, usage.payload_bytes) / usage.spans.max(1)).max(1);
        let piece = |deleted: &Deleted| {
            let left =
                excess.checked_sub(size(deleted.spans, deleted.payload_bytes)).filter(|left| *left > 0)?;
            // Not many more than must go.
            Some(u32::try_from(left.div_ceil(each)).unwrap_or(u32::MAX).min(PIECE_SPANS))
        };
        let deleted = delete(app, Some(&usage.account), Deleting::Oldest, Reason::Size, piece).await?;
        log(&usage.account, Reason::Size, &deleted);
    }
    Ok(())
}

/// Returns the bytes that spans take, as far as that can be told.
fn estimate(spans: u64, payload_bytes: u64, live: u64, all: u64) -> u64 {
    let payloads = u128::from(payload_bytes) * u128::from(live) / u128::from(all.max(1));
    let rows = u128::from(spans) * u128::from(ROW_BYTES);
    u64::try_from(payloads.saturating_add(rows)).unwrap_or(u64::MAX)
}

fn before(now: Timestamp, age: Duration) -> Option<Timestamp> {
    let micros = i64::try_from(age.as_micros()).ok()?;
    Timestamp::from_unix_micros(now.unix_micros().checked_sub(micros)?)
}

/// Deletes piece by piece while more is meant and the caller says how much next, by what is deleted so far.
pub(crate) async fn delete(
    app: &App,
    account: Option<&AccountId>,
    what: Deleting,
    reason: Reason,
    mut next_piece: impl FnMut(&Deleted) -> Option<u32>,
) -> Result<Deleted, StoreError> {
    let mut deleted = Deleted { more: true, ..Deleted::default() };
    let mut deletion = Deletion { what, max_spans: PIECE_SPANS };
    while let Some(max_spans) = next_piece(&deleted) {
        deletion.max_spans = max_spans;
        let start = Instant::now();
        let piece = app.store.delete(account, &deletion).await?;
        app.telemetry.deleted(reason, &piece);
        deleted.add(piece);
        if !deleted.more || piece.spans == 0 {
            break;
        }
        tokio::time::sleep(start.elapsed().max(PAUSE)).await;
    }
    Ok(deleted)
}

fn log(account: &AccountId, reason: Reason, deleted: &Deleted) {
    if deleted.spans > 0 {
        tracing::info!(
            %account,
            reason = reason.as_str(),
            spans = deleted.spans,
            traces = deleted.traces,
            "retention deleted spans"
        );
    }
}

/// Returns an account's spans, traces and bytes of payload; 0 each when it has none.
pub(crate) fn usage_of(usages: &[AccountUsage], account: &AccountId) -> (u64, u64, u64) {
    let usage = usages.iter().find(|usage| usage.account == *account);
    usage.map_or((0, 0, 0), |usage| (usage.spans, usage.traces, usage.payload_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_its_own_has_only_its_own_limits() {
        let day = Duration::from_secs(86_400);
        let limits = |days: Option<u32>, max_bytes| RetentionLimits {
            max_age: days.map(|days| day * days),
            max_bytes,
        };
        let retention = Retention {
            default: limits(Some(30), Some(10)),
            accounts: HashMap::from([(AccountId::new("a"), limits(None, Some(5)))]),
        };
        assert_eq!(retention.limits(&AccountId::new("a")), limits(None, Some(5)));
        assert_eq!(retention.limits(&AccountId::new("b")), limits(Some(30), Some(10)));
        assert!(!retention.is_off() && Retention::default().is_off());
    }

    #[test]
    fn sizes_follow_how_well_the_store_compresses() {
        assert_eq!(estimate(2, 1000, 100, 1000), 100 + 2 * ROW_BYTES);
        assert_eq!(estimate(0, 500, 100, 1000), 50);
        assert_eq!(estimate(1, 0, 0, 0), ROW_BYTES);
        assert_eq!(estimate(u64::MAX, u64::MAX, u64::MAX, 1), u64::MAX);
    }
}
