//! A trace as an indented tree, at any size and in any state: parents that are missing, ids that form a
//! cycle, and chains thousands of spans deep all print, each span exactly once.

use std::collections::HashMap;
use std::io;

use crate::client::TraceSpan;
use crate::format;
use crate::output::{Output, Style, printable, shorten, width};

/// Deepest level whose lines are drawn; below it only the innermost levels are.
const DRAWN_LEVELS: usize = 24;

/// Widest column for names, lines included.
const NAME_COLUMNS: usize = 72;

/// A span's place in the tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Index of the span.
    pub(crate) span: usize,
    /// The lines drawn before the name.
    pub(crate) lines: String,
    /// The parent is named but is not among the spans above it.
    pub(crate) adrift: bool,
}

/// Returns every span once, parents before children, siblings by start then id.
pub(crate) fn rows(spans: &[TraceSpan]) -> Vec<Row> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by(|&left, &right| {
        let key = |index: usize| spans.get(index).map(|span| (span.start_nanos(), &span.account, &span.id));
        key(left).cmp(&key(right))
    });
    // One id may live in several accounts; a child belongs to the parent in its own.
    let by_id: HashMap<(&str, &str), usize> =
        spans.iter().enumerate().map(|(index, span)| (span.key(), index)).collect();
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for &index in &order {
        let Some(span) = spans.get(index) else { continue };
        let parent = span.parent_id.as_deref().and_then(|id| by_id.get(&(span.account.as_str(), id)));
        match parent {
            Some(&parent) => children.entry(parent).or_default().push(index),
            None => roots.push(index),
        }
    }
    let mut walk = Walk { spans, children, printed: vec![false; spans.len()], rows: Vec::new() };
    for root in roots {
        walk.print_from(root);
    }
    // What no root leads to hangs in a cycle; the earliest span of each cycle stands in for its root.
    for index in order {
        walk.print_from(index);
    }
    walk.rows
}

struct Walk<'a> {
    spans: &'a [TraceSpan],
    children: HashMap<usize, Vec<usize>>,
    printed: Vec<bool>,
    rows: Vec<Row>,
}

impl Walk<'_> {
    /// Adds a root and everything below it that is not there yet.
    fn print_from(&mut self, root: usize) {
        // For each open level, whether more siblings follow; kept as one path, not copied into each frame.
        let mut more_below: Vec<bool> = Vec::new();
        let mut stack = vec![(root, 0_usize, false)];
        while let Some((index, depth, more)) = stack.pop() {
            match self.printed.get_mut(index) {
                Some(printed) if !*printed => *printed = true,
                _ => continue,
            }
            more_below.truncate(depth.saturating_sub(1));
            if depth > 0 {
                more_below.push(more);
            }
            let adrift = depth == 0 && self.spans.get(index).is_some_and(|span| span.parent_id.is_some());
            self.rows.push(Row { span: index, lines: draw(&more_below), adrift });
            let children = self.children.remove(&index).unwrap_or_default();
            let last = children.len().saturating_sub(1);
            for (position, &child) in children.iter().enumerate().rev() {
                stack.push((child, depth + 1, position != last));
            }
        }
    }
}

fn draw(more_below: &[bool]) -> String {
    let Some((own, above)) = more_below.split_last() else { return String::new() };
    let mut lines = String::new();
    let hidden = above.len().saturating_sub(DRAWN_LEVELS);
    if hidden > 0 {
        lines.push_str(&format!("⋯{hidden} "));
    }
    for more in above.iter().skip(hidden) {
        lines.push_str(if *more { "│  " } else { "   " });
    }
    lines.push_str(if *own { "├─ " } else { "└─ " });
    lines
}

/// How a span stands, in one word and its colour.
pub(crate) fn standing(status: Option<&str>, ended: bool) -> (&'static str, Style) {
    match (status, ended) {
        (Some("ERROR"), _) => ("ERROR", Style::Bad),
        (Some("CANCELED"), _) => ("canceled", Style::Open),
        (_, false) => ("running", Style::Open),
        (Some("SUCCESS"), true) => ("ok", Style::Good),
        (_, true) => ("ended", Style::Plain),
    }
}

/// Prints a trace: one line that sums it up, then the tree.
pub(crate) fn print(
    output: &mut Output,
    trace_id: &str,
    spans: &[TraceSpan],
    payloads: bool,
) -> io::Result<()> {
    print_summary(output, trace_id, spans)?;
    let rows = rows(spans);
    let label = |row: &Row| spans.get(row.span).map(|span| printable(&span.name)).unwrap_or_default();
    let columns = rows
        .iter()
        .map(|row| width(&row.lines) + width(&label(row)))
        .max()
        .unwrap_or(0)
        .clamp(16, NAME_COLUMNS);
    let kinds = spans.iter().filter_map(|span| span.span_type.as_deref().map(width)).max().unwrap_or(0);
    for row in &rows {
        let Some(span) = spans.get(row.span) else { continue };
        let room = columns.saturating_sub(width(&row.lines)).max(8);
        let name = shorten(&label(row), room);
        let (word, style) = standing(span.status.as_deref(), span.end_time.is_some());
        if !row.lines.is_empty() {
            output.put(Style::Dim, &row.lines)?;
        }
        output.put(if row.lines.is_empty() { Style::Strong } else { Style::Plain }, &name)?;
        let padding = columns.saturating_sub(width(&row.lines) + width(&name));
        output.put(Style::Plain, " ".repeat(padding + 2))?;
        if kinds > 0 {
            output.put(Style::Kind, format_args!("{:kinds$}  ", span.span_type.as_deref().unwrap_or("")))?;
        }
        let duration = span.duration_nanos().map(format::duration).unwrap_or_default();
        output.put(Style::Plain, format_args!("{duration:>8}  "))?;
        output.put(style, word)?;
        if let Some(error) = span.error_text() {
            output.put(Style::Plain, "  ")?;
            output.put(Style::Bad, shorten(&printable(&error), 100))?;
        }
        if row.adrift {
            let parent = span.parent_id.as_deref().unwrap_or_default();
            output.put(
                Style::Dim,
                format_args!("  (its parent {} is not above)", shorten(&printable(parent), 40)),
            )?;
        }
        output.end_line()?;
        if payloads {
            print_payloads(output, &row.lines, span)?;
        }
    }
    Ok(())
}

fn print_summary(output: &mut Output, trace_id: &str, spans: &[TraceSpan]) -> io::Result<()> {
    let errors = spans.iter().filter(|span| span.status.as_deref() == Some("ERROR")).count();
    let running = spans.iter().filter(|span| span.end_time.is_none()).count();
    let start = spans.iter().min_by_key(|span| span.start_nanos());
    let end = spans.iter().filter_map(TraceSpan::end_nanos).max();
    output.put(Style::Dim, "trace ")?;
    output.put(Style::Strong, printable(trace_id))?;
    output.put(Style::Dim, format_args!("  {}", format::count(spans.len() as u64, "span")))?;
    if errors > 0 {
        output.put(Style::Dim, ", ")?;
        output.put(Style::Bad, format::count(errors as u64, "error"))?;
    }
    if running > 0 {
        output.put(Style::Dim, ", ")?;
        output.put(Style::Open, format_args!("{running} running"))?;
    }
    if let Some(start) = start {
        if let (Some(end), Some(begin)) = (end, start.start_nanos()) {
            output.put(Style::Dim, format_args!(", {}", format::duration(end - begin)))?;
        }
        output.put(Style::Dim, format_args!(", {}", format::date_and_time(&start.start_time)))?;
    }
    output.end_line()
}

fn print_payloads(output: &mut Output, lines: &str, span: &TraceSpan) -> io::Result<()> {
    // The lines of the levels above go on beside the payload; the branch itself does not.
    let indent: String = lines.replace("├─", "│ ").replace("└─", "  ") + "    ";
    for (label, payload) in span.payloads() {
        output.put(Style::Dim, format_args!("{indent}{label}: "))?;
        let laid_out = format::pretty_json(payload, &indent);
        for (index, line) in laid_out.lines().enumerate() {
            if index > 0 {
                output.end_line()?;
            }
            output.put(Style::Plain, printable(line))?;
        }
        output.end_line()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, second: u32) -> TraceSpan {
        TraceSpan {
            id: id.to_owned(),
            parent_id: parent.map(str::to_owned),
            name: id.to_owned(),
            start_time: format!("2026-03-14T00:00:{second:02}Z"),
            ..TraceSpan::default()
        }
    }

    fn drawn(spans: &[TraceSpan]) -> String {
        rows(spans)
            .iter()
            .map(|row| {
                let mark = if row.adrift { " *" } else { "" };
                format!("{}{}{mark}\n", row.lines, spans[row.span].id)
            })
            .collect()
    }

    #[test]
    fn siblings_stand_by_start_and_lines_connect_them() {
        let spans = [
            span("late", Some("root"), 9),
            span("leaf", Some("early"), 3),
            span("root", None, 0),
            span("early", Some("root"), 2),
            span("second root", None, 1),
        ];
        insta::assert_snapshot!(drawn(&spans), @r"
        root
        ├─ early
        │  └─ leaf
        └─ late
        second root
        ");
    }

    #[test]
    fn missing_parents_and_cycles_cost_no_span() {
        let spans = [
            span("orphan", Some("gone"), 1),
            span("child", Some("orphan"), 2),
            span("a", Some("b"), 3),
            span("b", Some("a"), 4),
            span("self", Some("self"), 5),
        ];
        insta::assert_snapshot!(drawn(&spans), @r"
        orphan *
        └─ child
        a *
        └─ b
        self *
        ");
    }

    #[test]
    fn a_chain_of_twenty_thousand_spans_prints_each_once() {
        let spans: Vec<TraceSpan> = (0..20_000)
            .map(|index: u32| {
                let parent = index.checked_sub(1).map(|parent| parent.to_string());
                span(&index.to_string(), parent.as_deref(), 0)
            })
            .collect();
        let rows = rows(&spans);
        assert_eq!(rows.len(), spans.len());
        assert!(rows.iter().enumerate().all(|(index, row)| row.span == index));
        assert!(rows.iter().all(|row| row.lines.len() < 400));
    }

    #[test]
    fn one_id_in_two_accounts_is_two_trees() {
        let in_account = |account: &str, span: TraceSpan| TraceSpan { account: account.to_owned(), ..span };
        let spans = [
            in_account("one", span("root", None, 0)),
            in_account("two", span("root", None, 0)),
            in_account("two", span("child", Some("root"), 1)),
        ];
        insta::assert_snapshot!(drawn(&spans), @r"
        root
        root
        └─ child
        ");
    }
}
