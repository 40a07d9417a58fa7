//! What a server takes at most. `docs/http-api.md` says what happens beyond each.

use std::time::Duration;

use clap::Args;
use endspan_server::Config;

use super::retention::parse_bytes;
use crate::when::parse_millis;

/// What a server takes at most.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArguments {
    /// Most open connections [default: 10000]
    #[arg(long, env = "ENDSPAN_MAX_CONNECTIONS", value_name = "N", value_parser = parse_count)]
    max_connections: Option<usize>,
    /// Most open live tails [default: 256]
    #[arg(long, env = "ENDSPAN_MAX_TAILS", value_name = "N", value_parser = parse_count)]
    max_tails: Option<usize>,
    /// Longest body of a request, also decompressed [default: 64MiB]
    #[arg(long, env = "ENDSPAN_MAX_BODY", value_name = "SIZE", value_parser = parse_size)]
    max_body: Option<usize>,
    /// Most payload of one span [default: 32MiB]
    #[arg(long, env = "ENDSPAN_MAX_SPAN", value_name = "SIZE", value_parser = parse_size)]
    max_span: Option<usize>,
    /// Most requests with a body that are worked on at once [default: 4096]
    #[arg(long, env = "ENDSPAN_MAX_IN_FLIGHT", value_name = "N", value_parser = parse_count)]
    max_in_flight: Option<usize>,
    /// Most bytes of their bodies [default: 256MiB]
    #[arg(long, env = "ENDSPAN_MAX_IN_FLIGHT_BYTES", value_name = "SIZE", value_parser = parse_size)]
    max_in_flight_bytes: Option<usize>,
    /// Longest page of a search [default: 32MiB]
    #[arg(long, env = "ENDSPAN_MAX_SEARCH_BYTES", value_name = "SIZE", value_parser = parse_size)]
    max_search_bytes: Option<usize>,
    /// How long a search may take, like 10s [default: 10s]
    #[arg(long, env = "ENDSPAN_SEARCH_TIMEOUT", value_name = "TIME", value_parser = parse_time)]
    search_timeout: Option<Duration>,
    /// How long a client may take for the head of a request, and a connection may be idle [default: 60s]
    #[arg(long, env = "ENDSPAN_HEADER_TIMEOUT", value_name = "TIME", value_parser = parse_time)]
    header_timeout: Option<Duration>,
    /// How long a client may take for a body, beside a second for each 32 KiB of it [default: 30s]
    #[arg(long, env = "ENDSPAN_BODY_TIMEOUT", value_name = "TIME", value_parser = parse_time)]
    body_timeout: Option<Duration>,
    /// How long a client may read nothing of an answer [default: 30s]
    #[arg(long, env = "ENDSPAN_WRITE_TIMEOUT", value_name = "TIME", value_parser = parse_time)]
    write_timeout: Option<Duration>,
    /// How long the end of the server waits for requests [default: 30s]
    #[arg(long, env = "ENDSPAN_SHUTDOWN_TIMEOUT", value_name = "TIME", value_parser = parse_time)]
    shutdown_timeout: Option<Duration>,
}

impl LimitArguments {
    /// Puts what is given into the settings.
    pub(crate) fn apply(&self, config: &mut Config) {
        fn set<T: Copy>(setting: &mut T, given: Option<T>) {
            *setting = given.unwrap_or(*setting);
        }
        set(&mut config.max_connections, self.max_connections);
        set(&mut config.max_live_subscribers, self.max_tails);
        set(&mut config.max_body_bytes, self.max_body);
        set(&mut config.max_span_bytes, self.max_span);
        set(&mut config.max_in_flight_requests, self.max_in_flight);
        set(&mut config.max_in_flight_bytes, self.max_in_flight_bytes);
        set(&mut config.max_search_bytes, self.max_search_bytes);
        set(&mut config.search_timeout, self.search_timeout);
        set(&mut config.header_timeout, self.header_timeout);
        set(&mut config.body_timeout, self.body_timeout);
        set(&mut config.write_timeout, self.write_timeout);
        set(&mut config.shutdown_timeout, self.shutdown_timeout);
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a whole number from 1".to_owned())
}

fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(parse_bytes(text)?).ok().filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "expected a size like 64MiB".to_owned())
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let millis = parse_millis(text)?;
    if millis > 0 { Ok(Duration::from_millis(millis)) } else { Err("expected a time like 30s".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArguments,
    }

    #[test]
    fn every_limit_reaches_its_setting() {
        let mut config = Config::default();
        let before = format!("{config:?}");
        Line::try_parse_from(["x"]).unwrap().limits.apply(&mut config);
        assert_eq!(format!("{config:?}"), before, "nothing given changes nothing");
        let line = "x --max-connections 1 --max-tails 2 --max-body 3 --max-span 4KiB --max-in-flight 5 \
            --max-in-flight-bytes 6 --max-search-bytes 7 --search-timeout 8ms --header-timeout 9s --body-timeout 10s \
            --write-timeout 11s --shutdown-timeout 12m";
        Line::try_parse_from(line.split_whitespace()).unwrap().limits.apply(&mut config);
        assert_eq!(
            (
                config.max_connections,
                config.max_live_subscribers,
                config.max_body_bytes,
                config.max_span_bytes
            ),
            (1, 2, 3, 4096)
        );
        assert_eq!(
            (config.max_in_flight_requests, config.max_in_flight_bytes, config.max_search_bytes),
            (5, 6, 7)
        );
        assert_eq!(
            [
                config.search_timeout,
                config.header_timeout,
                config.body_timeout,
                config.write_timeout,
                config.shutdown_timeout
            ],
            [8, 9_000, 10_000, 11_000, 720_000].map(Duration::from_millis)
        );
        for wrong in ["--max-connections=0", "--max-body=0", "--search-timeout=0s", "--header-timeout=5"] {
            assert!(Line::try_parse_from(["x", wrong]).is_err(), "{wrong}");
        }
    }
}
