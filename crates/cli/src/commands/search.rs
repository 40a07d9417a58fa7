//! `endspan search`: spans by what they are and what they say.

use serde_json::{Map, Value, json};

use crate::args::SearchArguments;
use crate::client::{Client, TraceSpan};
use crate::commands::tail::print_line;
use crate::error::{CliError, Exit};
use crate::output::Output;

/// Spans asked for at once.
const PAGE: u32 = 200;

pub(crate) async fn run(arguments: SearchArguments, mut output: Output) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    let body = Value::Object(filters(&arguments)?).to_string();
    let mut left = if arguments.all { u32::MAX } else { arguments.limit };
    let mut after = None;
    let mut any = false;
    while left > 0 {
        let page = client.search_spans(&query(&arguments, left.min(PAGE), after.as_deref()), &body).await?;
        for item in page.items.iter().take(left as usize) {
            any = true;
            if arguments.server.json {
                output.line(item.get())?;
            } else {
                print_line(&mut output, &client.parse::<TraceSpan>(item.get())?)?;
            }
        }
        output.flush()?;
        left = left.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        // A page may end early, and empty, when it took too long; its cursor goes on.
        after = page.next_cursor;
        if after.is_none() {
            break;
        }
    }
    if !any {
        return Err(CliError::new(Exit::NotFound, format!("no such spans at {}", client.address())));
    }
    if after.is_some() && !arguments.server.json {
        eprintln!("more spans follow: -n {} or --all shows them", arguments.limit.saturating_mul(5));
    }
    Ok(())
}

fn query(arguments: &SearchArguments, limit: u32, after: Option<&str>) -> Vec<(&'static str, String)> {
    let mut query = vec![
        ("limit", limit.to_string()),
        ("sort_by", arguments.sort.as_str().to_owned()),
        ("sort_order", if arguments.ascending { "asc" } else { "desc" }.to_owned()),
        ("allow_partial_results", "true".to_owned()),
    ];
    let optional = [
        ("from_ts", arguments.since.as_deref()),
        ("to_ts", arguments.until.as_deref()),
        ("starting_after", after),
    ];
    query.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))));
    query.extend(arguments.assessment.iter().map(|what| ("assessment", what.clone())));
    query
}

/// Returns the body of the search.
fn filters(arguments: &SearchArguments) -> Result<Map<String, Value>, CliError> {
    let mut body = Map::new();
    let lists = [
        ("search_texts", &arguments.texts),
        ("trace_ids", &arguments.trace),
        ("excluded_trace_ids", &arguments.not_trace),
        ("span_ids", &arguments.span),
        ("excluded_span_ids", &arguments.not_span),
        ("parent_ids", &arguments.parent),
        ("names", &arguments.name),
        ("statuses", &arguments.status),
        ("types", &arguments.types),
        ("application_variant_ids", &arguments.variant),
        ("acp_types", &arguments.acp_type),
        ("agentex_agent_names", &arguments.agent),
        ("agentex_agent_ids", &arguments.agent_id),
        ("obs_trace_ids", &arguments.obs_trace),
        ("obs_span_ids", &arguments.obs_span),
    ];
    body.extend(
        lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| (name.to_owned(), json!(list))),
    );
    if arguments.roots {
        body.insert("parents_only".to_owned(), true.into());
    }
    if let Some(group) = &arguments.group {
        body.insert("group_id".to_owned(), group.as_str().into());
    }
    for (name, bound) in
        [("min_duration_ms", arguments.min_duration), ("max_duration_ms", arguments.max_duration)]
    {
        if let Some(bound) = bound {
            body.insert(name.to_owned(), bound.into());
        }
    }
    let mut metadata = Map::new();
    for pair in &arguments.metadata {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(CliError::new(Exit::Usage, format!("--metadata {pair}: expected KEY=VALUE")));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        metadata.insert(key.to_owned(), value);
    }
    if !metadata.is_empty() {
        body.insert("extra_metadata".to_owned(), metadata.into());
    }
    Ok(body)
}
