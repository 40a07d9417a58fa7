use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::http::Request;
use crate::store::{Protocol, Store, Stored};

/// How the backend treats a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// As the real server would: applies it and answers.
    Serve,
    /// Answers this status with these headers, applying nothing.
    Status(u16, Vec<(&'static str, String)>),
    /// Answers this status with this body, applying nothing.
    Body(u16, Value),
    /// Never answers.
    Hang,
    /// Closes the connection at once.
    Reset,
    /// Applies the request and closes the connection before the answer.
    ApplyThenReset,
    /// Applies the request and never answers.
    ApplyThenHang,
    /// Applies the request and sends half of the answer.
    HalfAnswer,
    /// Waits first.
    After(Duration, Box<Reply>),
}

impl Reply {
    /// Answers this status.
    pub const fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }

    /// Answers this status with a `Retry-After`.
    pub fn retry_after(status: u16, seconds: &str) -> Self {
        Self::Status(status, vec![("retry-after", seconds.to_owned())])
    }
}

type Refusal = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    always: Option<Reply>,
    offers_batches: bool,
    refuses: Option<Refusal>,
    max_body_bytes: Option<usize>,
    store: Store,
    requests: Vec<Request>,
    in_flight: usize,
    max_in_flight: usize,
    connections: usize,
    stopped: bool,
}

/// A scripted server on a loopback port. Each request takes the next reply of the script; after it, [`Reply::Serve`], or
/// what [`FakeBackend::always`] says.
pub struct FakeBackend {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl FakeBackend {
    /// Starts a backend that serves everything.
    ///
    /// # Panics
    /// If no loopback port is to be had.
    #[expect(clippy::expect_used, reason = "a test cannot go on without a socket")]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let connection = {
                    let mut state = accepting.0.lock();
                    if state.stopped {
                        return;
                    }
                    state.connections += 1;
                    state.connections - 1
                };
                let shared = Arc::clone(&accepting);
                thread::spawn(move || serve(&shared, stream, connection));
            }
        });
        Self { address, shared }
    }

    /// Starts one with a script.
    pub fn scripted(script: impl IntoIterator<Item = Reply>) -> Self {
        let backend = Self::start();
        backend.shared.0.lock().script.extend(script);
        backend
    }

    /// Returns `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds to the script.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.0.lock().script.extend(replies);
    }

    /// Sets what follows the script.
    pub fn always(&self, reply: Reply) {
        self.shared.0.lock().always = Some(reply);
    }

    /// Offers `/spans/batch`, as endspan's server does and the reference does not.
    pub fn offer_batches(&self) {
        self.shared.0.lock().offers_batches = true;
    }

    /// Refuses requests with 422 that carry a span for which this holds.
    pub fn refuse(&self, refuses: impl Fn(&Value) -> bool + Send + Sync + 'static) {
        self.shared.0.lock().refuses = Some(Arc::new(refuses));
    }

    /// Answers larger bodies with 413.
    pub fn max_body_bytes(&self, bytes: usize) {
        self.shared.0.lock().max_body_bytes = Some(bytes);
    }

    /// Returns everything that arrived, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.0.lock().requests.clone()
    }

    /// Returns `METHOD path` of everything that arrived.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// Returns what was stored through an API, by id.
    pub fn stored(&self, protocol: Protocol) -> BTreeMap<String, Stored> {
        let state = self.shared.0.lock();
        let spans = state.store.spans.iter().filter(|((of, _), _)| *of == protocol);
        spans.map(|((_, id), stored)| (id.clone(), stored.clone())).collect()
    }

    /// Returns the most requests that were under way at a time.
    pub fn max_in_flight(&self) -> usize {
        self.shared.0.lock().max_in_flight
    }

    /// Returns the connections made.
    pub fn connections(&self) -> usize {
        self.shared.0.lock().connections
    }

    /// Waits until so many requests arrived; returns whether they did within the time.
    pub fn wait_for_requests(&self, count: usize, patience: Duration) -> bool {
        self.wait(patience, |state| state.requests.len() >= count)
    }

    /// Waits until so many spans are stored; returns whether they are within the time.
    pub fn wait_for_spans(&self, count: usize, patience: Duration) -> bool {
        self.wait(patience, |state| state.store.spans.len() >= count)
    }

    fn wait(&self, patience: Duration, done: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.0.lock();
        while !done(&state) {
            if self.shared.1.wait_until(&mut state, deadline).timed_out() {
                return done(&state);
            }
        }
        true
    }
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        self.shared.0.lock().stopped = true;
        self.shared.1.notify_all();
        // Wakes the accepting thread, so that it sees the end.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(shared: &(Mutex<State>, Condvar), stream: TcpStream, connection: usize) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    while let Ok(Some(request)) = Request::read(&mut reader, connection) {
        let reply = {
            let mut state = shared.0.lock();
            state.requests.push(request.clone());
            state.in_flight += 1;
            state.max_in_flight = state.max_in_flight.max(state.in_flight);
            let next = state.script.pop_front();
            next.or_else(|| state.always.clone()).unwrap_or(Reply::Serve)
        };
        shared.1.notify_all();
        let goes_on = answer(shared, &stream, &request, reply);
        shared.0.lock().in_flight -= 1;
        shared.1.notify_all();
        if !goes_on {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn answer(shared: &(Mutex<State>, Condvar), mut stream: &TcpStream, request: &Request, reply: Reply) -> bool {
    match reply {
        Reply::After(wait, then) => {
            thread::sleep(wait);
            answer(shared, stream, request, *then)
        }
        Reply::Status(status, headers) => write(stream, status, &headers, b"{}"),
        Reply::Body(status, body) => write(stream, status, &[], body.to_string().as_bytes()),
        Reply::Hang => hang(shared),
        Reply::ApplyThenHang => {
            apply(shared, request);
            hang(shared)
        }
        Reply::Reset => false,
        Reply::Serve => {
            let (status, body) = apply(shared, request);
            write(stream, status, &[], body.to_string().as_bytes())
        }
        Reply::ApplyThenReset => {
            apply(shared, request);
            false
        }
        Reply::HalfAnswer => {
            apply(shared, request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":");
            false
        }
    }
}

/// Waits until the backend stops.
fn hang(shared: &(Mutex<State>, Condvar)) -> bool {
    let mut state = shared.0.lock();
    while !state.stopped {
        shared.1.wait_for(&mut state, Duration::from_millis(100));
    }
    false
}

fn apply(shared: &(Mutex<State>, Condvar), request: &Request) -> (u16, Value) {
    let mut state = shared.0.lock();
    if state.max_body_bytes.is_some_and(|most| request.body.len() > most) {
        return (413, Value::Null);
    }
    let refuses = state.refuses.clone();
    if refuses.is_some_and(|refuses| request.items().iter().any(|span| refuses(span))) {
        return (422, serde_json::json!({"detail": "a span was refused"}));
    }
    let offers_batches = state.offers_batches;
    state.store.apply(request, offers_batches)
}

fn write(mut stream: &TcpStream, status: u16, headers: &[(&str, String)], body: &[u8]) -> bool {
    let mut head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).is_ok()
}
