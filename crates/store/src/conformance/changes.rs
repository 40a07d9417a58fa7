//! Following the writes.

use endspan_model::AccountId;

use super::*;

/// Within a request and across requests.
pub async fn changes_come_in_the_order_of_writing(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("z", "3"), ended_span("a", "1")]).await;
    store_all(subject, [ended_span("m", "2")]).await;
    let changes = subject.store().changes(Some(&account()), 0, 100).await.unwrap();
    assert_eq!(ids(&changes.spans), ["3", "1", "2"]);
    assert!(changes.spans.is_sorted_by(|left, right| left.version < right.version));
    assert_eq!(changes.position, subject.store().latest_position().await.unwrap());
}

/// By replacement and by patch.
pub async fn a_span_written_again_appears_once_at_its_latest(subject: &mut dyn Subject) {
    store_all(subject, [open_span("t", "a"), open_span("t", "b"), open_span("t", "c")]).await;
    let before = subject.store().latest_position().await.unwrap();
    store_all(subject, [ended_span("t", "a")]).await;
    write(subject, vec![patch("b", SpanPatch { name: Some("new".to_owned()), ..SpanPatch::default() })])
        .await;
    let store = subject.store();
    let all = store.changes(None, 0, 100).await.unwrap();
    assert_eq!(ids(&all.spans), ["c", "a", "b"]);
    assert_eq!(all.spans[1].span, ended_span("t", "a"));
    let since = store.changes(None, before, 100).await.unwrap();
    assert_eq!(ids(&since.spans), ["a", "b"]);
    assert_eq!(since.position, all.position);
    store_all(subject, [ended_span("t", "a")]).await;
    assert_eq!(ids(&store.changes(None, before, 100).await.unwrap().spans), ["b", "a"]);
}

/// Small pages give what one large page gives.
pub async fn changes_page_without_gaps(subject: &mut dyn Subject) {
    store_all(subject, (0..25).map(|number| open_span(&format!("t{}", number % 4), &number.to_string())))
        .await;
    store_all(subject, (5..12).map(|number| ended_span(&format!("t{}", number % 4), &number.to_string())))
        .await;
    let store = subject.store();
    let whole = store.changes(None, 0, 1000).await.unwrap();
    assert_eq!(whole.spans.len(), 25);
    let (mut paged, mut position) = (Vec::new(), 0);
    loop {
        let page = store.changes(None, position, 4).await.unwrap();
        if page.spans.is_empty() {
            assert_eq!(page.position, whole.position);
            break;
        }
        assert!(page.position > position && page.spans.len() <= 4);
        position = page.position;
        paged.extend(page.spans);
    }
    assert_eq!(paged, whole.spans);
}

/// A reader of one account comes past the writes of the others.
pub async fn positions_grow_and_skip_nothing_of_other_accounts(subject: &mut dyn Subject) {
    let other = AccountId::new("other");
    store_all(subject, [ended_span("t", "mine")]).await;
    let operations =
        (0..10).map(|number| WriteOperation::Upsert(ended_span("t", &number.to_string()))).collect();
    subject.store().write(WriteRequest { account: other.clone(), ..request(operations) }).await.unwrap();
    let store = subject.store();
    let mine = store.changes(Some(&account()), 0, 5).await.unwrap();
    assert_eq!(ids(&mine.spans), ["mine"]);
    assert_eq!(mine.position, store.latest_position().await.unwrap());
    let first = store.changes(Some(&other), 0, 5).await.unwrap();
    assert_eq!(ids(&first.spans), ["0", "1", "2", "3", "4"]);
    let second = store.changes(Some(&other), first.position, 5).await.unwrap();
    assert_eq!(ids(&second.spans), ["5", "6", "7", "8", "9"]);
}

/// It stays where it is.
pub async fn a_position_beyond_the_end_is_empty(subject: &mut dyn Subject) {
    assert_eq!(subject.store().latest_position().await.unwrap(), 0);
    store_all(subject, [ended_span("t", "s")]).await;
    let latest = subject.store().latest_position().await.unwrap();
    for position in [latest + 1_000_000, u64::MAX] {
        let changes = subject.store().changes(None, position, 10).await.unwrap();
        assert_eq!((changes.spans.len(), changes.position), (0, position));
    }
}
