//! The web UI is part of the server.

use crate::harness::Harness;

#[tokio::test]
async fn every_view_is_the_page_and_the_page_is_never_stale() {
    let server = Harness::start().await;
    for path in
        ["/", "/traces", "/traces/", "/traces/a%2Fb", "/traces/..%2F..", "/compare?a=1&b=2", "/health"]
    {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert!(answer.text().contains("<div id=\"app\">"));
    }
}

#[tokio::test]
async fn the_pages_may_load_nothing_from_elsewhere() {
    let server = Harness::start().await;
    let policy = server.get("/").await.header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    assert!(policy.contains("require-trusted-types-for 'script'; trusted-types 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn files_are_compressed_and_kept_for_ever() {
    let server = Harness::start().await;
    let page = server.get("/").await.text();
    let script = page.split('"').find(|part| part.ends_with(".js")).unwrap().to_owned();
    let plain = server.get(&script).await;
    assert_eq!(plain.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));

    let small = server.send("GET", &script, &[("accept-encoding", "gzip, br")], "").await;
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert!(small.body.len() * 2 < plain.body.len());
    let etag = plain.header("etag").unwrap();
    let known = server.send("GET", &script, &[("if-none-match", etag)], "").await;
    assert_eq!((known.status, known.body.len()), (304, 0));
}

#[tokio::test]
async fn what_is_not_in_the_bundle_is_not_found() {
    let server = Harness::start().await;
    for path in ["/assets/nothing.js", "/assets/..%2Findex.html", "/assets/", "/index.htm", "/favicon.ico"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    assert_eq!(server.send("POST", "/", &[], "{}").await.status, 405);
}
