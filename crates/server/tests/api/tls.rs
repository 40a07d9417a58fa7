//! TLS on both listeners.

use std::sync::Arc;
use std::time::Duration;

use endspan_server::{Config, Tls};
use endspan_store::memory::MemoryStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::Harness;

struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

async fn start(pair: &Pair, config: Config) -> (Harness, Arc<Tls>) {
    let tls = Arc::new(Tls::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap());
    let config =
        Config { tls: Some(Arc::clone(&tls)), grpc_listen: Some("127.0.0.1:0".parse().unwrap()), ..config };
    (Harness::with(config, Arc::new(MemoryStore::new())).await, tls)
}

/// Connects with trust in one certificate alone.
async fn connect(
    address: std::net::SocketAddr,
    trusted: &Pair,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with("{\"status\": \"ok\"}") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    answer
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_connection_on() {
    let (first, second) = (pair(), pair());
    let (server, tls) = start(&first, Config::default()).await;
    let mut old = connect(server.address, &first, b"http/1.1").await.unwrap();
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200 "));
    assert!(tls.replace_pem(second.certificate.as_bytes(), first.key.as_bytes()).is_err());
    assert!(connect(server.address, &first, b"http/1.1").await.is_ok(), "a bad certificate changes nothing");
    tls.replace_pem(second.certificate.as_bytes(), second.key.as_bytes()).unwrap();
    assert!(connect(server.address, &first, b"http/1.1").await.is_err());
    let mut new = connect(server.address, &second, b"http/1.1").await.unwrap();
    ask(&mut new).await;
    ask(&mut old).await;
}

#[tokio::test]
async fn each_listener_speaks_its_own_protocol() {
    let pair = pair();
    let (server, _) = start(&pair, Config::default()).await;
    let grpc = connect(server.grpc_address.unwrap(), &pair, b"h2").await.unwrap();
    assert_eq!(grpc.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(connect(server.address, &pair, b"h2").await.is_err());
}

#[tokio::test]
async fn who_does_not_speak_tls_is_let_go() {
    let pair = pair();
    let (server, _) =
        start(&pair, Config { header_timeout: Duration::from_millis(200), ..Config::default() }).await;
    let plain = server.raw(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    // A client that begins and says no more is closed, too: `raw` waits for that.
    server.raw(b"\x16\x03\x01").await;
}
