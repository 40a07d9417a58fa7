use std::collections::HashSet;

use serde_json::Value;

/// Returns spans (in the JSON of either API) as an indented tree, siblings by start and name. Spans whose parent is
/// missing stand at the root, marked with `^`; those of a cycle come last, marked with `~`.
pub fn tree<'a>(spans: impl IntoIterator<Item = &'a Value>) -> String {
    let spans: Vec<&Value> = spans.into_iter().collect();
    let ids: HashSet<&str> = spans.iter().map(|span| text(span, "id")).collect();
    let mut out = String::new();
    let mut printed = HashSet::new();
    let mut roots: Vec<&Value> =
        spans.iter().copied().filter(|span| !ids.contains(text(span, "parent_id"))).collect();
    sort(&mut roots);
    for root in roots {
        let mark = if text(root, "parent_id").is_empty() { "" } else { "^" };
        print(&mut out, &spans, root, mark, 0, &mut printed);
    }
    for span in &spans {
        if !printed.contains(text(span, "id")) {
            print(&mut out, &spans, span, "~", 0, &mut printed);
        }
    }
    out
}

fn print<'a>(
    out: &mut String,
    spans: &[&'a Value],
    span: &'a Value,
    mark: &str,
    depth: usize,
    printed: &mut HashSet<&'a str>,
) {
    if !printed.insert(text(span, "id")) {
        return;
    }
    out.push_str(&"  ".repeat(depth));
    out.push_str(mark);
    out.push_str(text(span, "name"));
    let status = text(span, "status");
    if !status.is_empty() && status != "SUCCESS" {
        out.push_str(&format!(" [{status}]"));
    }
    out.push('\n');
    let mut children: Vec<&Value> =
        spans.iter().copied().filter(|child| text(child, "parent_id") == text(span, "id")).collect();
    sort(&mut children);
    for child in children {
        print(out, spans, child, "", depth + 1, printed);
    }
}

fn sort(spans: &mut [&Value]) {
    let start = |span: &Value| {
        let start = [text(span, "start_timestamp"), text(span, "start_time")].concat();
        (start, text(span, "name").to_owned())
    };
    spans.sort_by_key(|span| start(span));
}

fn text<'a>(span: &'a Value, key: &str) -> &'a str {
    span.get(key).and_then(Value::as_str).unwrap_or_default()
}
