//! The normal form of what real instrumentations send (`fixtures/otlp`, see `conformance/otlp/capture.py`).
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::path::{Path, PathBuf};

use endspan_model::Span;
use endspan_otlp::decode::{decode_json, decode_protobuf};
use endspan_otlp::encode::encode_request;
use endspan_otlp::normal::normalize;
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/otlp")
}

fn read(path: &Path) -> Vec<Span> {
    let body = std::fs::read(path).unwrap();
    let request = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => decode_json(&body).unwrap(),
        _ => decode_protobuf(&body).unwrap(),
    };
    assert_eq!(request.rejected, []);
    // Children are exported before their parents: tell the story from its beginning.
    let mut spans = request.spans;
    spans.sort_by_key(|span| span.start_time);
    spans
}

/// Stack traces, ports and random ids are not what is tested here.
fn stable(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("stack_trace");
            for (key, inner) in object {
                match (key.as_str(), &inner) {
                    ("conversation", Value::String(id)) if id.len() == 36 => *inner = json!("[id]"),
                    ("response_id", Value::String(id)) if id.starts_with("aitxt-") => *inner = json!("[id]"),
                    ("time_to_first_chunk_seconds", _) => *inner = json!("[seconds]"),
                    _ => stable(inner),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(stable),
        _ => {}
    }
}

#[test]
fn instrumentations_read_as_what_they_mean() {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name != "manifest.json" && name != "README.md"));
    paths.sort();
    assert!(paths.len() >= 12, "the fixtures are there");
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let spans: Vec<Value> = read(&path)
            .iter()
            .map(|span| {
                let mut normal = serde_json::to_value(normalize(span)).unwrap();
                stable(&mut normal);
                json!({"name": span.name, "type": span.span_type.map(|one| one.as_str()), "normal": normal})
            })
            .collect();
        let text = spans.iter().map(|span| format!("{span:#}\n")).collect::<String>();
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, text);
        });
    }
}

#[test]
fn captured_bodies_come_back() {
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pb") {
            continue;
        }
        let spans = read(&path);
        let body = encode_request(&spans);
        let again = decode_protobuf(&body).unwrap().spans;
        assert_eq!(again.len(), spans.len());
        assert!(encode_request(&again) == body, "{}", path.display());
        let normal = |spans: &[Span]| spans.iter().map(normalize).collect::<Vec<_>>();
        let mut again = again;
        again.sort_by_key(|span| span.start_time);
        assert!(normal(&again) == normal(&spans), "{}", path.display());
    }
}
