//! Server-sent events, as the live tail sends them.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The event's type; `message` when none is named.
    pub(crate) kind: String,
    /// The data, its lines joined by line feeds.
    pub(crate) data: String,
}

/// Takes bytes in as they come and hands events out when they are complete.
///
/// Follows the event stream format of the HTML standard: lines end with LF, CRLF or CR, a blank line ends
/// an event, lines that begin with `:` are comments, an event without data is none.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    after_carriage_return: bool,
    /// The id named last, which counts from the end of its event on.
    named_id: Option<String>,
    last_id: Option<String>,
    kind: String,
    data: Vec<u8>,
    has_data: bool,
}

impl EventParser {
    /// Returns the position to go on from (`Last-Event-ID`). Heartbeats move it on too, without an event.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes in a piece of the stream, and returns the events that it completes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_carriage_return = std::mem::replace(&mut self.after_carriage_return, byte == b'\r');
            match byte {
                b'\n' if after_carriage_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_line(&line));
                    self.line = line;
                    self.line.clear();
                }
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn end_line(&mut self, line: &[u8]) -> Option<Event> {
        if line.is_empty() {
            return self.end_event();
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"id" => self.named_id = Some(String::from_utf8_lossy(value).into_owned()),
            b"event" => self.kind = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        if self.named_id.is_some() {
            self.last_id.clone_from(&self.named_id);
        }
        let data = std::mem::take(&mut self.data);
        let kind = std::mem::take(&mut self.kind);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        Some(Event {
            kind: if kind.is_empty() { "message".to_owned() } else { kind },
            data: String::from_utf8_lossy(&data).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &str) -> Event {
        Event { kind: kind.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_arrive_whole_however_the_bytes_are_cut() {
        let stream = ": hello\n\nid: 7\nevent: span\ndata: {\"a\":\ndata: \"é\"}\n\r\ndata:x\r\n\r\nevent: ping\n\n\
                      id:9\rdata\r\rid: 10\ndata: cut off";
        let expected = [event("span", "{\"a\":\n\"é\"}"), event("message", "x"), event("message", "")];
        for size in 1..stream.len() {
            let mut parser = EventParser::default();
            let events: Vec<_> =
                stream.as_bytes().chunks(size).flat_map(|piece| parser.push(piece)).collect();
            assert_eq!(events, expected, "in pieces of {size}");
            assert_eq!(parser.last_id(), Some("9"));
        }
    }
}
