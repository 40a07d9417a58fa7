use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;

/// A server that answers each read of a connection with the next of the texts, closes it after the last, and hands
/// over what it read.
fn serve(answers: &'static [&'static str]) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            for answer in answers {
                let mut seen = vec![0; 4096];
                let length = stream.read(&mut seen).unwrap_or(0);
                if length == 0 {
                    break;
                }
                seen.truncate(length);
                if sender.send(seen).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    (address, receiver)
}

fn send(transport: &HttpTransport, uri: &str) -> Result<http::Response<Bytes>, TransportError> {
    let request = http::Request::post(uri).body(Bytes::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(transport.send(request))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[test]
fn a_plain_request_goes_straight_to_its_destination() {
    let (address, seen) = serve(&[OK]);
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().build());
    let answer = send(&transport, &format!("http://{address}/spans?x=1")).unwrap();
    assert_eq!(answer.body(), "hi");
    let head = text(&seen.recv().unwrap());
    assert!(head.starts_with("POST /spans?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
    assert!(!head.contains("accept-encoding"), "{head}");
}

#[test]
fn a_proxy_gets_the_whole_address_and_its_own_key() {
    let (proxy, seen) = serve(&[OK]);
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().http(format!("http://me:secret@{proxy}")).build());
    assert_eq!(send(&transport, "http://destination.invalid/spans").unwrap().status(), 200);
    let head = text(&seen.recv().unwrap());
    assert!(head.starts_with("POST http://destination.invalid/spans HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: Basic bWU6c2VjcmV0\r\n"), "{head}");
}

#[test]
fn hosts_without_proxy_are_reached_directly() {
    let (address, seen) = serve(&[OK]);
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().all("http://127.0.0.1:1").no("127.0.0.1").build());
    assert_eq!(send(&transport, &format!("http://{address}/")).unwrap().status(), 200);
    assert!(text(&seen.recv().unwrap()).starts_with("POST / "));
}

#[test]
fn tls_goes_through_a_tunnel() {
    let (proxy, seen) = serve(&["HTTP/1.1 200 Connection established\r\n\r\n", "no TLS"]);
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().https(format!("http://me:secret@{proxy}")).build());
    let answer = send(&transport, "https://destination.invalid/spans");
    let head = text(&seen.recv().unwrap());
    assert!(head.starts_with("CONNECT destination.invalid:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{head}");
    // Where the system has no root certificates, the connection ends before its handshake.
    match answer {
        Err(TransportError::Connect(reason)) if reason.contains("no TLS") => {}
        Err(TransportError::Connect(_)) => {
            let hello = seen.recv().unwrap();
            assert_eq!(hello.first(), Some(&0x16), "a handshake record");
            assert!(text(&hello).contains("destination.invalid"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tunnel_that_is_refused_is_no_connection() {
    let (proxy, _seen) = serve(&["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"]);
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().https(format!("http://{proxy}")).build());
    let answer = send(&transport, "https://destination.invalid/");
    assert!(
        matches!(&answer, Err(TransportError::Connect(reason)) if reason.contains("authorization")),
        "{answer:?}"
    );
}

#[test]
fn what_is_not_http_cannot_be_reached() {
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().all("socks5://127.0.0.1:1").build());
    let answer = send(&transport, "http://destination.invalid/");
    assert!(matches!(&answer, Err(TransportError::Connect(reason)) if reason.contains("http")), "{answer:?}");
}

#[test]
fn a_destination_that_never_answers_the_handshake_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let transport = HttpTransport::new().connect_timeout(Duration::from_millis(50));
    transport.wire(|| Matcher::builder().build());
    let answer = send(&transport, &format!("https://{}/", silent.local_addr().unwrap()));
    assert!(matches!(answer, Err(TransportError::Connect(_))), "{answer:?}");
}

#[test]
fn a_broken_answer_may_have_been_seen() {
    let (address, _seen) = serve(&["HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf"]);
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().build());
    let answer = send(&transport, &format!("http://{address}/"));
    assert!(matches!(answer, Err(TransportError::Broken(_))), "{answer:?}");
}

#[test]
fn a_connection_serves_more_than_one_request() {
    let (address, _seen) = serve(&[OK, "HTTP/1.1 202 OK\r\ncontent-length: 0\r\n\r\n"]);
    let transport = HttpTransport::new();
    transport.wire(|| Matcher::builder().build());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statuses = runtime.block_on(async {
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let request = http::Request::post(format!("http://{address}/")).body(Bytes::new()).unwrap();
            statuses.push(transport.send(request).await.unwrap().status().as_u16());
        }
        statuses
    });
    assert_eq!(statuses, [200, 202], "the second answer comes only on the first connection");
}
